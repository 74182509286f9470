//! What is seen while training goes on: a bar in a terminal, a line for each epoch elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use elman::train::Progress;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// How a run of training is shown.
pub(super) struct Watch {
    bar: ProgressBar,
    /// Lines for epochs.
    lines: bool,
    /// What stands before each of them, with the blanks behind it.
    prefix: String,
    epochs: u64,
    start: Instant,
    /// Steps of examples since the epoch began.
    steps: u64,
    epoch_start: Instant,
    /// The loss so far, smoothed.
    loss: Option<f64>,
    /// Steps that were learned from, and the time that took: without validation and checkpoints.
    learned: u64,
    learning: Duration,
    last: Instant,
    /// Minibatches that were learned from before, where it goes on from a checkpoint.
    before: Option<u64>,
}

/// What a run came to.
pub(super) struct Seen {
    /// Of the whole.
    pub(super) seconds: f64,
    /// Steps of examples that were learned from each second, while that went on.
    pub(super) steps_per_second: f64,
}

impl Watch {
    /// Of so many epochs at most; `silent` shows nothing.
    pub(super) fn new(epochs: u64, silent: bool) -> Self {
        let terminal = io::stderr().is_terminal() && !silent;
        let style = ProgressStyle::with_template("{wide_bar} {msg}").expect("a valid template");
        let bar =
            if terminal { ProgressBar::new(0).with_style(style.progress_chars("=> ")) } else { ProgressBar::hidden() };
        let now = Instant::now();
        Self {
            bar,
            lines: !silent,
            prefix: String::new(),
            epochs,
            start: now,
            steps: 0,
            epoch_start: now,
            loss: None,
            learned: 0,
            learning: Duration::ZERO,
            last: now,
            before: None,
        }
    }

    /// The same with a word before each line.
    pub(super) fn prefixed(mut self, prefix: &str) -> Self {
        self.prefix = format!("{prefix}  ");
        self
    }

    /// Shows what has happened.
    pub(super) fn see(&mut self, progress: Progress<'_>) -> io::Result<()> {
        match progress {
            Progress::Batch { epoch, batch, batches, loss, steps, .. } => {
                self.steps += steps as u64;
                self.learned += steps as u64;
                self.learning += self.last.elapsed();
                self.last = Instant::now();
                let smooth = self.loss.map_or(loss, |before| 0.95 * before + 0.05 * loss);
                self.loss = Some(smooth);
                self.bar.set_length(batches * self.epochs);
                let done = epoch * batches + batch;
                self.bar.set_position(done);
                let elapsed = self.start.elapsed().as_secs_f64();
                // It counts the one that was just learned from.
                let before = *self.before.get_or_insert(done.saturating_sub(1));
                let left = elapsed / (done - before).max(1) as f64 * (batches * self.epochs - done) as f64;
                let rate = HumanCount(self.rate() as u64);
                let epochs = self.epochs;
                self.bar.set_message(format!(
                    "{}epoch {}/{epochs}  loss {smooth:.4}  {rate} steps/s  {} left at most",
                    self.prefix,
                    epoch + 1,
                    clock(left)
                ));
            }
            Progress::Epoch { report, is_best, .. } => {
                let valid = report.valid.map_or(String::new(), |valid| format!("  validation {valid:.4}"));
                let best = if is_best { "  best" } else { "" };
                let line = format!(
                    "{}epoch {:>3}  loss {:.4}{valid}  {} steps/s{best}",
                    self.prefix,
                    report.epoch + 1,
                    report.train,
                    HumanCount(self.rate() as u64)
                );
                if self.lines {
                    self.bar.suspend(|| writeln!(io::stdout(), "{line}"))?;
                }
                let now = Instant::now();
                (self.steps, self.epoch_start, self.last) = (0, now, now);
            }
            _ => {}
        }
        Ok(())
    }

    /// Steps a second since the epoch began.
    fn rate(&self) -> f64 {
        self.steps as f64 / self.epoch_start.elapsed().as_secs_f64().max(1e-9)
    }

    /// Takes the bar away.
    pub(super) fn end(self) -> Seen {
        self.bar.finish_and_clear();
        let steps_per_second = self.learned as f64 / self.learning.as_secs_f64().max(1e-9);
        Seen { seconds: self.start.elapsed().as_secs_f64(), steps_per_second }
    }
}

/// `42 s`, `3 min 20 s`, `1 h 5 min`.
pub(super) fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn times_are_told_by_their_two_largest_units() {
        assert_eq!([0.4, 59.6, 200.0, 3900.0].map(clock), ["0 s", "1 min 0 s", "3 min 20 s", "1 h 5 min"]);
    }
}
