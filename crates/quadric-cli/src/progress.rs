//! The progress bar: on a terminal a bar that fills as the residual falls, elsewhere a line every few seconds.

use crate::args::Global;
use crate::console;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quadric::core::{Callback, Control, Progress};
use std::io::IsTerminal;
use std::time::Duration;

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// A callback that shows how a run gets on, or `None` where nobody looks.
pub(crate) fn callback<'c>(global: &Global, label: &str, tolerance: f64) -> Option<Callback<'c>> {
    if global.json || global.quiet {
        return None;
    }
    if std::io::stderr().is_terminal() {
        Some(bar(label.to_owned(), tolerance))
    } else {
        Some(plain(label.to_owned()))
    }
}

fn bar<'c>(label: String, tolerance: f64) -> Callback<'c> {
    const STEPS: u64 = 1000;
    let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr_with_hz(10));
    let style =
        ProgressStyle::with_template("{prefix} [{bar:30}] {msg}").map(|s| s.progress_chars("=> "));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(label);
    let bar = Closing(bar);
    let mut share = Share {
        tolerance,
        start: None,
        best: 0.0,
    };
    Box::new(move |p| {
        bar.0.set_position((STEPS as f64 * share.update(p)) as u64);
        bar.0.set_message(describe(p));
        Ok(Control::Continue)
    })
}

/// Leaves no half bar behind when the run ends.
struct Closing(ProgressBar);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn plain<'c>(label: String) -> Callback<'c> {
    let mut next = PLAIN_EVERY;
    Box::new(move |p| {
        if p.elapsed >= next {
            next = p.elapsed + PLAIN_EVERY;
            console::note(&format!("{label}: {}", describe(p)));
        }
        Ok(Control::Continue)
    })
}

/// How much of the way in decades is done: by the certified gap where there is one, else by the gradient.
struct Share {
    tolerance: f64,
    start: Option<f64>,
    best: f64,
}

impl Share {
    fn update(&mut self, p: &Progress<'_>) -> f64 {
        let gap = p
            .certificate
            .map(|c| c.relative())
            .filter(|r| r.is_finite() && *r > 0.0);
        let now = gap.or(p.optimality);
        let Some(now) = now else { return self.best };
        let start = *self.start.get_or_insert(now);
        let goal = if gap.is_some() {
            self.tolerance
        } else {
            start * self.tolerance
        };
        let share = (start / now).ln() / (start / goal).ln();
        if share.is_finite() {
            self.best = self.best.max(share.clamp(0.0, 1.0));
        }
        self.best
    }
}

fn describe(p: &Progress<'_>) -> String {
    let mut text = format!("step {}", p.iteration);
    if let Some(f) = p.value {
        text += &format!("  objective {f:.9}");
    }
    if let Some(g) = p.optimality {
        text += &format!("  gradient {g:.1e}");
    }
    if let Some(c) = p
        .certificate
        .filter(|c| c.kind == "gap_bound" && c.value.is_finite())
    {
        text += &format!("  gap {:.1e}", c.relative());
    }
    text + &format!("  {:.1} s", p.elapsed.as_secs_f64())
}
