//! Our two ends of the protocol against each other, without a socket: the state machine of the control plane's stream and
//! that of the proxy's client. Responses and requests are delivered in any order between the two, targets change, streams
//! break, and some of what is sent is refused. Whatever happens, in the end the client holds what it is to be served and
//! nothing else, the server knows it, and nothing is sent any more.

mod pool;
mod run;

use control_plane::ads::{DeltaState, SotwState};
use proptest::prelude::*;
use xds::node::ClientClass;

use self::pool::target;
use self::run::{Action, run};

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Send),
        4 => Just(Action::TakeResponse),
        4 => Just(Action::TakeRequest),
        3 => target().prop_map(Action::Target),
        1 => Just(Action::Wait),
        1 => Just(Action::Reconnect),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    proptest::collection::vec(action(), 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3_400) })]

    #[test]
    fn deltas_for_our_own_proxy_converge(actions in actions(), last in target()) {
        run::<DeltaState>(ClientClass::Signalbox, actions, &last)?;
    }

    #[test]
    fn deltas_in_the_order_of_stock_clients_converge(actions in actions(), last in target()) {
        run::<DeltaState>(ClientClass::Envoy, actions, &last)?;
    }

    #[test]
    fn the_state_of_the_world_converges(actions in actions(), last in target()) {
        run::<SotwState>(ClientClass::Envoy, actions, &last)?;
    }
}
