//! What a child writes: read by two threads so that it never blocks on a full pipe, the last lines kept.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::watch;

/// Enough to see why something failed.
const KEPT_LINES: usize = 300;

/// Called with every line, from a thread of its own.
pub type OnLine = Arc<dyn Fn(&str) + Send + Sync>;

pub(super) struct Output {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Counts lines; its senders are the reading threads, so it is closed when both streams are.
    written: watch::Receiver<u64>,
}

impl Output {
    pub(super) fn of(child: &mut Child, on_line: Option<OnLine>) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (count, written) = watch::channel(0);
        let count = Arc::new(count);
        let stdout = child
            .stdout
            .take()
            .map(|stream| Box::new(stream) as Box<dyn Read + Send>);
        let stderr = child
            .stderr
            .take()
            .map(|stream| Box::new(stream) as Box<dyn Read + Send>);
        for stream in [stdout, stderr].into_iter().flatten() {
            let (lines, count, on_line) = (lines.clone(), count.clone(), on_line.clone());
            thread::spawn(move || read_lines(stream, &lines, &count, on_line));
        }
        Self { lines, written }
    }

    /// The first line that `pick` likes, among those kept and those to come. `None` when both streams have ended without it.
    pub(super) async fn find<T>(&mut self, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        loop {
            self.written.borrow_and_update();
            let found = self.kept().iter().find_map(|line| pick(line));
            if found.is_some() {
                return found;
            }
            if self.written.changed().await.is_err() {
                // The last lines may have come between the look and the end.
                return self.kept().iter().find_map(|line| pick(line));
            }
        }
    }

    pub(super) fn tail(&self) -> String {
        self.kept().make_contiguous().join("\n")
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.lines
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}

fn read_lines(
    stream: impl Read,
    lines: &Mutex<VecDeque<String>>,
    count: &watch::Sender<u64>,
    on_line: Option<OnLine>,
) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    // Bytes, not `lines()`: a program that writes something other than UTF-8 must not lose its reader.
    while stream
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        line.clear();
        if let Some(on_line) = &on_line {
            on_line(&text);
        }
        let mut kept = lines
            .lock()
            .expect("nothing panics while it holds the lock");
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(text);
        drop(kept);
        count.send_modify(|count| *count += 1);
    }
}
