//! The comparison of two revisions: which requests are compared with which, by which measures, and what follows from all answers
//! together. Pure.

use serde_json::{Value, json};

use crate::rollout::observed::{Observed, Part, Parts, Sides, Traffic};
use crate::rollout::strategy::Compare;

use super::numbers;
use super::question::{Answer, Answered, Measure, Question, Terms};
use super::text::count;

/// So many parts are told one by one in the numbers, from the one that most speaks against.
const TOLD_MAX: usize = 20;
/// What less than one in so many requests goes through is not waited for: all requests are compared in its stead.
const RARE: u64 = 100;

/// What comes of a comparison.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What is worse than is allowed.
    pub(super) worse: Vec<String>,
    /// What is not known yet.
    pub(super) open: Vec<String>,
    /// Each part, the worst first.
    pub(super) parts: Vec<Value>,
    /// What was compared, for people.
    pub(super) of: String,
}

/// What is compared, and whether it must be known to be no worse. What need not holds all the same while it looks worse.
struct Asked<'a> {
    part: String,
    sides: &'a Sides,
    control: Option<&'a Sides>,
    must: bool,
}

/// Compares. Each of so many `rounds` is judged anew, and all of them together raise no more false alarms than the operator
/// allows.
pub(super) fn compare(
    by: &Compare,
    observed: &Observed,
    nodes: u64,
    enough: u64,
    rounds: usize,
) -> Compared {
    let whole = Sides {
        new: observed.new.clone(),
        old: observed.old.clone(),
    };
    let (asked, waits) = asked(&whole, observed.parts.as_ref(), enough);
    let mut compared = Compared {
        open: waits.into_iter().collect(),
        of: asked.first().map_or_else(String::new, |it| it.part.clone()),
        ..Compared::default()
    };
    let measures = measures(by);
    let questions = asked.len() * measures.len() + 1;
    let alarms = (1.0 - by.confidence) / (rounds.max(1) * questions) as f64;
    let terms = Terms {
        nodes,
        enough,
        worse_at: -alarms.max(f64::MIN_POSITIVE).ln(),
    };
    let mut told = Vec::new();
    for asked in &asked {
        let of = |measure: &Measure| {
            let question = Question {
                part: asked.part.clone(),
                sides: asked.sides,
                control: asked.control,
                measure: *measure,
            };
            question.answer(terms)
        };
        let answered: Vec<Answered> = measures.iter().filter_map(of).collect();
        let worst = answered.iter().map(|it| it.answer).max();
        let nats = answered.iter().map(|it| it.nats).fold(0.0, f64::max);
        told.push((worst, nats, asked));
        for answered in answered {
            compared.take(answered, asked.must);
        }
    }
    let no_route = Question {
        part: ALL.to_owned(),
        sides: &whole,
        control: None,
        measure: Measure::NoRoute(by.no_route_ratio),
    };
    if let Some(answered) = no_route.answer(terms) {
        compared.take(answered, true);
    }
    told.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    told.truncate(TOLD_MAX);
    compared.parts = told
        .into_iter()
        .map(|(answer, nats, asked)| told_of(asked, answer, nats, terms.worse_at))
        .collect();
    compared
}

const ALL: &str = "all requests";

fn measures(by: &Compare) -> Vec<Measure> {
    let times = [
        by.p50_factor.map(Measure::P50),
        by.p99_factor.map(Measure::P99),
    ];
    let errors = Measure::Errors(by.error_ratio);
    std::iter::once(errors)
        .chain(times.into_iter().flatten())
        .collect()
}

/// What is compared, the one that must be known first; and what is waited for, if that has too few requests.
fn asked<'a>(
    whole: &'a Sides,
    parts: Option<&'a Parts>,
    enough: u64,
) -> (Vec<Asked<'a>>, Option<String>) {
    let all = |must| Asked {
        part: ALL.to_owned(),
        sides: whole,
        control: None,
        must,
    };
    let Some(parts) = parts else {
        return (vec![all(true)], None);
    };
    let (routes, clusters) = (&parts.routes, &parts.clusters);
    let by_routes = routes.requests() >= clusters.requests();
    let (sum, control) = if by_routes {
        (routes, &parts.other_routes)
    } else {
        (clusters, &parts.other_clusters)
    };
    let changed = Asked {
        part: "what the revision changes".to_owned(),
        sides: sum,
        control: Some(control),
        must: true,
    };
    let (first, waits) = match standing(whole, sum, enough) {
        Standing::Enough => (changed, None),
        Standing::Waits(what) => (changed, Some(what)),
        Standing::Elsewhere => (all(true), None),
    };
    let one = |(part, sides): &'a (Part, Sides)| Asked {
        part: part.to_string(),
        sides,
        control: Some(match part {
            Part::Cluster(_) => &parts.other_clusters,
            Part::Route(_) | Part::Host(_) => &parts.other_routes,
        }),
        must: false,
    };
    let asked = std::iter::once(first).chain(parts.changed.iter().map(one));
    (asked.collect(), waits)
}

/// Whether what the revision changes has requests enough to be compared by itself.
enum Standing {
    Enough,
    Waits(String),
    /// It has hardly any, or its requests go elsewhere on the new revision, as those of a route that is deleted do.
    Elsewhere,
}

fn standing(whole: &Sides, sum: &Sides, enough: u64) -> Standing {
    let waits = |side: &str, traffic: &Traffic| {
        Standing::Waits(format!(
            "{} of {} requests on the {side} revision go through what the revision changes",
            count(traffic.requests),
            count(enough)
        ))
    };
    if sum.old.requests < enough {
        let rare = sum.old.requests.saturating_mul(RARE) <= whole.old.requests;
        return if rare {
            Standing::Elsewhere
        } else {
            waits("old", &sum.old)
        };
    }
    if sum.new.requests < enough {
        let share = sum.old.requests as f64 / whole.old.requests.max(1) as f64;
        let expected = share * whole.new.requests as f64;
        return if expected >= 2.0 * enough as f64 {
            Standing::Elsewhere
        } else {
            waits("new", &sum.new)
        };
    }
    Standing::Enough
}

fn told_of(asked: &Asked<'_>, answer: Option<Answer>, nats: f64, worse_at: f64) -> Value {
    let control = asked
        .control
        .map(|control| json!({ "new": numbers(&control.new), "old": numbers(&control.old) }));
    json!({
        "part": asked.part,
        "is": answer.map_or("not-compared", Answer::as_str),
        "evidence": nats,
        "worse_at": worse_at,
        "new": numbers(&asked.sides.new),
        "old": numbers(&asked.sides.old),
        "untouched": control,
    })
}

impl Compared {
    fn take(&mut self, answered: Answered, must: bool) {
        let Answered {
            answer, sentence, ..
        } = answered;
        match answer {
            Answer::Worse => self.worse.push(sentence),
            Answer::Doubtful => self.open.push(format!("{sentence}; too few to say")),
            Answer::Unknown if must => self.open.push(format!("{sentence}; too few to say")),
            Answer::Unknown | Answer::NoWorse => {}
        }
    }
}

impl Answer {
    fn as_str(self) -> &'static str {
        match self {
            Self::NoWorse => "no-worse",
            Self::Unknown => "unknown",
            Self::Doubtful => "doubtful",
            Self::Worse => "worse",
        }
    }
}
