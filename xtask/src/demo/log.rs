//! The programs' lines on our standard output, each behind its program's name. Held back until the overview is printed: a
//! failure before that shows the last lines of the program that failed.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use e2e::process::OnLine;

/// Cyan, green, yellow, magenta, blue.
const COLOURS: [u8; 5] = [36, 32, 33, 35, 34];
const NAME_WIDTH: usize = 13;

pub(super) struct Log {
    following: AtomicBool,
    programs: AtomicU8,
    colours: bool,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            following: AtomicBool::new(false),
            programs: AtomicU8::new(0),
            colours: std::io::stdout().is_terminal(),
        }
    }

    /// From now on lines are shown.
    pub(super) fn follow(&self) {
        self.following.store(true, Ordering::Relaxed);
    }

    /// Where the lines of one program go.
    pub(super) fn of(self: &Arc<Self>, program: &str) -> OnLine {
        let index = usize::from(self.programs.fetch_add(1, Ordering::Relaxed));
        let name = format!("{program:<NAME_WIDTH$} |");
        let colour = COLOURS[index % COLOURS.len()];
        let name = if self.colours {
            format!("\x1b[{colour}m{name}\x1b[0m")
        } else {
            name
        };
        let log = self.clone();
        Arc::new(move |line| {
            if log.following.load(Ordering::Relaxed) {
                println!("{name} {line}");
            }
        })
    }
}
