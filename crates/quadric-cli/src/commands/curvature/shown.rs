//! How far an analysis is: a bar with the time that is left at most on a terminal, elsewhere a line every few seconds.

use crate::args::Global;
use crate::console;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// A bar for the part at hand.
pub(super) struct Bar(Option<Mutex<Shown>>);

struct Shown {
    /// On a terminal.
    bar: Option<ProgressBar>,
    part: String,
    began: Instant,
    told: Instant,
}

impl Bar {
    /// Nothing is shown where nobody looks.
    pub(super) fn new(global: &Global) -> Self {
        if global.json || global.quiet {
            return Self(None);
        }
        let bar = std::io::stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(Some(1), target);
            let style = ProgressStyle::with_template(
                "{prefix} [{bar:30}] {pos} of at most {len} products  {elapsed}  {msg}",
            );
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
    pub(super) fn tell(&self, part: &str, products: usize, of: usize) {
        let Some(shown) = &self.0 else {
            return;
        };
        let mut shown = shown
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if shown.part != part {
            shown.part = part.to_owned();
            shown.began = Instant::now();
            if let Some(bar) = &shown.bar {
                bar.reset_elapsed();
                bar.set_prefix(part.to_owned());
            }
        }
        let seconds = shown.began.elapsed().as_secs_f64();
        let left = seconds / products.max(1) as f64 * of.saturating_sub(products) as f64;
        let left = format!("at most {left:.0} s left");
        if let Some(bar) = &shown.bar {
            bar.set_length(of as u64);
            bar.set_position(products as u64);
            bar.set_message(left);
        } else if shown.told.elapsed() >= PLAIN_EVERY {
            shown.told = Instant::now();
            console::note(&format!(
                "{part}: {products} of at most {of} products, {left}"
            ));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(shown) = &self.0 {
            let shown = shown
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(bar) = &shown.bar {
                bar.finish_and_clear();
            }
        }
    }
}
