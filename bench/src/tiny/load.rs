//! The load: many kept connections, one request at a time on each, in one of two ways. Closed loop: an answer is followed by the next
//! request at once. Open loop: requests are due at a fixed rate and take whichever connection is free.
//! In: flags; lines on standard input, each of which closes a window; its end, which ends the load. Out: `begun`, and at the end
//! one line of JSON: the figures of each window.

mod answer;
mod connection;
mod figures;
mod schedule;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

pub(crate) use self::answer::Reading;
pub(crate) use self::figures::Figures;

use self::connection::{Connection, Turn};
use self::figures::Window;
use self::schedule::Schedule;
use super::wait;
use crate::exchange::Exchange;
use crate::table::Table;

const CLOCK: Token = Token(usize::MAX);
const BUFFER: usize = 256 * 1024;
/// How often the closed loop, which needs no clock, looks whether it is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How to put on a load.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    pub(crate) target: SocketAddr,
    #[arg(long, value_enum)]
    pub(crate) exchange: Exchange,
    #[arg(long)]
    pub(crate) table: Table,
    #[arg(long)]
    pub(crate) connections: usize,
    /// Ends after this time, if standard input does not end before.
    #[arg(long)]
    pub(crate) seconds: f64,
    /// Requests per second; without it the loop is closed.
    #[arg(long)]
    pub(crate) rate: Option<u32>,
}

/// Puts on the load.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let orders = orders();
    let mut load = Load::connect(arguments)?;
    println!("begun");
    io::stdout().flush()?;
    let figures = load.run(Duration::from_secs_f64(arguments.seconds), &orders)?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// A message for each line of standard input; they end with it.
fn orders() -> Receiver<()> {
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || {
        for _ in io::stdin().lines().map_while(Result::ok) {
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    orders
}

struct Load {
    poll: Poll,
    connections: Vec<Connection>,
    /// Those that wait for a request to become due.
    idle: Vec<usize>,
    requests: Vec<Vec<u8>>,
    next_request: usize,
    schedule: Option<Schedule>,
    clock: OwnedFd,
    window: Window,
}

impl Load {
    fn connect(arguments: &Arguments) -> Result<Self> {
        let poll = Poll::new()?;
        let open = |number| Connection::open(arguments.target, poll.registry(), Token(number));
        let connections = (0..arguments.connections)
            .map(open)
            .collect::<Result<Vec<_>>>()?;
        let schedule = arguments.rate.map(Schedule::at);
        let interval = schedule.as_ref().map_or(LOOK_INTERVAL, Schedule::interval);
        let clock = clock(interval)?;
        poll.registry()
            .register(&mut SourceFd(&clock.as_raw_fd()), CLOCK, Interest::READABLE)?;
        Ok(Self {
            poll,
            idle: (0..connections.len()).collect(),
            connections,
            requests: arguments.exchange.requests(arguments.table),
            next_request: 0,
            schedule,
            clock,
            window: Window::default(),
        })
    }

    fn run(&mut self, lasts: Duration, orders: &Receiver<()>) -> Result<Vec<Figures>> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; BUFFER];
        let start = Instant::now();
        let (mut figures, mut window_began) = (Vec::new(), Duration::ZERO);
        if self.schedule.is_none() {
            for number in std::mem::take(&mut self.idle) {
                self.send(number, start)?;
            }
        }
        loop {
            self.send_what_is_due(start)?;
            wait(&mut self.poll, &mut events)?;
            for event in &events {
                match event.token() {
                    CLOCK => drop(rustix::io::read(&self.clock, &mut [0; 8])),
                    Token(number) => self.turn(number, &mut buffer)?,
                }
            }
            let passed = start.elapsed();
            let order = orders.try_recv();
            let is_over = passed >= lasts || order == Err(TryRecvError::Disconnected);
            if is_over || order == Ok(()) {
                figures.push(self.window.close(passed.saturating_sub(window_began)));
                window_began = passed;
            }
            if is_over {
                return Ok(figures);
            }
        }
    }

    fn send_what_is_due(&mut self, start: Instant) -> Result<()> {
        while let Some(number) = self.idle.pop() {
            let due = self
                .schedule
                .as_mut()
                .and_then(|schedule| schedule.take(start.elapsed()));
            match due {
                Some(due) => self.send(number, start + due)?,
                None => {
                    self.idle.push(number);
                    break;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, number: usize, due: Instant) -> Result<()> {
        let request = self.next_request;
        self.next_request = (request + 1) % self.requests.len();
        self.connections[number].begin(request, due);
        self.turn(number, &mut [])
    }

    /// Writes and reads what there is. A buffer of nothing reads nothing.
    fn turn(&mut self, number: usize, buffer: &mut [u8]) -> Result<()> {
        let connection = &mut self.connections[number];
        match connection.turn(&self.requests, buffer) {
            Turn::Waits => return Ok(()),
            Turn::Answered(since) => self.window.latencies.push(since.elapsed()),
            Turn::Closed => {
                self.window.reconnects += 1;
                connection.reopen(self.poll.registry(), Token(number))?;
                return Ok(());
            }
            Turn::Failed => {
                self.window.failed += 1;
                connection.forget();
                connection.reopen(self.poll.registry(), Token(number))?;
            }
        }
        if self.schedule.is_some() {
            self.idle.push(number);
            Ok(())
        } else {
            self.send(number, Instant::now())
        }
    }
}

/// A file that can be read once each interval: `epoll_wait` itself knows no less than a millisecond.
fn clock(interval: Duration) -> Result<OwnedFd> {
    let clock =
        timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).context("a timer")?;
    let every = Timespec::try_from(interval)?;
    let timer = Itimerspec {
        it_interval: every,
        it_value: every,
    };
    ensure!(!interval.is_zero(), "a rate that no clock knows");
    timerfd_settime(&clock, TimerfdTimerFlags::empty(), &timer)?;
    Ok(clock)
}
