//! How far work of known length is: a bar with the time that is left on a terminal, elsewhere a line every few seconds.

use crate::args::Global;
use crate::console;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// A bar for the part at hand, or for all parts.
pub(crate) struct Bar(Option<Mutex<Shown>>);

struct Shown {
    /// On a terminal.
    bar: Option<ProgressBar>,
    part: String,
    began: Instant,
    told: Instant,
}

impl Bar {
    /// For parts that take a number of products each. Nothing is shown where nobody looks.
    pub(crate) fn new(global: &Global) -> Self {
        Self::drawn(global, "{pos} of at most {len} products")
    }

    /// For shares of all parts.
    pub(crate) fn of_all(global: &Global) -> Self {
        Self::drawn(global, "{percent} %")
    }

    fn drawn(global: &Global, position: &str) -> Self {
        if global.json || global.quiet {
            return Self(None);
        }
        let bar = std::io::stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(Some(1), target);
            let template = format!("{{prefix}} [{{bar:30}}] {position}  {{elapsed}}  {{msg}}");
            let style = ProgressStyle::with_template(&template);
            let style = style.map(|s| s.progress_chars("=> "));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let now = Instant::now();
        Self(Some(Mutex::new(Shown {
            bar,
            part: String::new(),
            began: now,
            told: now,
        })))
    }

    /// `part` has taken so many products of at most `of`.
    pub(crate) fn tell(&self, part: &str, products: usize, of: usize) {
        let Some(mut shown) = self.shown() else {
            return;
        };
        if shown.part != part {
            shown.began = Instant::now();
            if let Some(bar) = &shown.bar {
                bar.reset_elapsed();
            }
        }
        let seconds = shown.began.elapsed().as_secs_f64();
        let left = seconds / products.max(1) as f64 * of.saturating_sub(products) as f64;
        let left = format!("at most {left:.0} s left");
        let position = format!("{products} of at most {of} products");
        shown.show(part, (products as u64, of as u64), &position, left);
    }

    /// The work is at `part`, and this share of all parts is done.
    pub(crate) fn tell_share(&self, part: &str, share: f64) {
        let Some(mut shown) = self.shown() else {
            return;
        };
        let share = share.clamp(0.0, 1.0);
        let left = shown.began.elapsed().as_secs_f64() * (1.0 - share) / share;
        let left = match left.is_finite() {
            true => format!("about {left:.0} s left"),
            false => String::new(),
        };
        let position = format!("{:.0} %", 100.0 * share);
        shown.show(part, ((1000.0 * share) as u64, 1000), &position, left);
    }

    fn shown(&self) -> Option<MutexGuard<'_, Shown>> {
        let shown = self.0.as_ref()?;
        Some(shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shown {
    fn show(&mut self, part: &str, (done, of): (u64, u64), position: &str, left: String) {
        if self.part != part {
            part.clone_into(&mut self.part);
            if let Some(bar) = &self.bar {
                bar.set_prefix(part.to_owned());
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(done);
            bar.set_message(left);
        } else if self.told.elapsed() >= PLAIN_EVERY {
            self.told = Instant::now();
            console::note(&format!("{part}: {position}, {left}"));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.shown().and_then(|s| s.bar.clone()) {
            bar.finish_and_clear();
        }
    }
}
