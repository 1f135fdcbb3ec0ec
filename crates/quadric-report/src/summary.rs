//! The race in one or two sentences, computed from its numbers.

use crate::format::{self, clean, list, ratio, seconds};
use crate::table::{thresholds, time};
use crate::{Family, Report, Run};

/// Names in sentences are short.
const NAME: usize = 40;

/// Below this, a relative suboptimality is rounding.
pub(crate) const FLOOR: f64 = 1e-16;

/// Who reached what first, in plain words; also true when a method, or every method, never gets there.
///
/// It speaks of a relative suboptimality of 10⁻⁸ if any run gets there, otherwise of the smallest one that is reached.
pub fn summary(report: &Report) -> String {
    Teller {
        report,
        voice: &PLAIN,
    }
    .tell()
}

/// [`summary`] as HTML: names in bold, everything that comes from outside escaped, exponents raised.
pub(crate) fn summary_html(report: &Report) -> String {
    Teller {
        report,
        voice: &HTML,
    }
    .tell()
}

/// `max_iterations` as words.
pub(crate) fn words(status: &str) -> String {
    match status.trim() {
        "" => "unknown".to_owned(),
        status => clean(status, NAME).replace('_', " "),
    }
}

/// How the parts of a sentence are spelled.
struct Voice {
    name: fn(&str) -> String,
    text: fn(&str) -> String,
    power: fn(f64) -> String,
    number: fn(f64) -> String,
}

const PLAIN: Voice = Voice {
    name: str::to_owned,
    text: str::to_owned,
    power: format::threshold,
    number: format::number,
};

const HTML: Voice = Voice {
    name: |name| format!("<b>{}</b>", format::escape(name)),
    text: format::escape,
    power: format::power,
    number: format::number_raised,
};

struct Teller<'a> {
    report: &'a Report,
    voice: &'a Voice,
}

/// The smallest relative suboptimality of a trace.
fn closest(run: &Run) -> Option<f64> {
    let values = run.points.iter().filter_map(|p| p.suboptimality);
    let least = values.filter(|v| v.is_finite()).reduce(f64::min);
    least.map(|v| v.max(FLOOR))
}

/// The run with the smallest `key`, the first of equals, and that key.
fn least<'a>(runs: &[&'a Run], key: impl Fn(&Run) -> Option<f64>) -> Option<(&'a Run, f64)> {
    let keyed = runs.iter().filter_map(|&r| Some((r, key(r)?)));
    keyed.reduce(|best, next| if next.1 < best.1 { next } else { best })
}

impl Teller<'_> {
    fn tell(&self) -> String {
        if self.report.runs.is_empty() {
            return "No run was recorded.".to_owned();
        }
        let runs: Vec<&Run> = self.report.runs.iter().collect();
        let targets = thresholds(self.report);
        let reached = |t: &f64| runs.iter().any(|r| time(r, *t).is_some());
        let reached: Vec<f64> = targets.iter().copied().filter(reached).collect();
        // The thresholds are sorted: the last one is the smallest.
        let Some(&smallest) = reached.last() else {
            let nobody = self.nobody(&runs, &targets);
            return nobody.unwrap_or_else(|| self.without_reference(&runs));
        };
        let lead = if reached.contains(&1e-8) {
            1e-8
        } else {
            smallest
        };
        let mut text = self.race(&runs, lead);
        if let Some(tail) = self.tail(&runs, &targets, lead) {
            text.push(' ');
            text.push_str(&tail);
        }
        text
    }

    fn name(&self, run: &Run) -> String {
        (self.voice.name)(&clean(&run.method, NAME))
    }

    fn status(&self, run: &Run) -> String {
        (self.voice.text)(&words(&run.status))
    }

    fn power(&self, x: f64) -> String {
        (self.voice.power)(x)
    }

    fn number(&self, x: f64) -> String {
        (self.voice.number)(x)
    }

    /// The winner at `target`, and how far behind the other kind of method is.
    fn race(&self, runs: &[&Run], target: f64) -> String {
        let at = |r: &Run| time(r, target);
        let (winner, first) = least(runs, at).expect("some run reaches the chosen target");
        let lead = format!(
            "{} reaches a relative suboptimality of {} in {}",
            self.name(winner),
            self.power(target),
            seconds(first)
        );
        let (rivals, kind) = rivals(runs, winner);
        if rivals.is_empty() {
            return format!("{lead}; the run {}.", self.ending(winner));
        }
        let Some((rival, later)) = least(&rivals, at) else {
            return format!("{lead}; {}.", self.never(&rivals, &kind));
        };
        let other = format!("the {kind} ({}, {})", self.name(rival), seconds(later));
        if first > 0.0 && later / first >= 1.05 {
            let factor = ratio(later / first);
            format!("{lead}, {factor} times sooner than {other}.")
        } else {
            format!("{lead}, about as soon as {other}.")
        }
    }

    /// That none of the rivals gets to the target, and how near they come.
    fn never(&self, rivals: &[&Run], kind: &str) -> String {
        let near = least(rivals, closest);
        if let [rival] = rivals {
            let name = self.name(rival);
            return match near {
                Some((_, value)) => format!(
                    "{name} does not get there, it stops at {} after {}",
                    self.number(value),
                    seconds(rival.seconds)
                ),
                None => format!("{name} does not get there"),
            };
        }
        let nobody = match kind.strip_prefix("best ") {
            Some(kind) => format!("no {kind} gets there"),
            None => "no other method gets there".to_owned(),
        };
        match near {
            Some((rival, value)) => format!(
                "{nobody}, the closest ({}) stops at {} after {}",
                self.name(rival),
                self.number(value),
                seconds(rival.seconds)
            ),
            None => nobody,
        }
    }

    /// Who gets all the way to the smallest threshold.
    fn tail(&self, runs: &[&Run], targets: &[f64], lead: f64) -> Option<String> {
        let last = targets.last().copied().filter(|t| *t < lead)?;
        if runs.len() < 2 {
            return None;
        }
        let there = runs.iter().filter(|r| time(r, last).is_some());
        let there: Vec<String> = there.map(|r| self.name(r)).collect();
        let goal = self.power(last);
        Some(match there.len() {
            0 => format!("None gets to {goal}."),
            2 if runs.len() == 2 => format!("Both methods get to {goal}."),
            n if n == runs.len() => format!("All {n} methods get to {goal}."),
            1 => format!("Only {} gets to {goal}.", there[0]),
            n if n > 4 => format!("{n} of {} methods get to {goal}.", runs.len()),
            _ => format!("Only {} get to {goal}.", list(&there)),
        })
    }

    /// No run reaches any threshold, but the optimum is known.
    fn nobody(&self, runs: &[&Run], targets: &[f64]) -> Option<String> {
        let (run, value) = least(runs, closest)?;
        let name = self.name(run);
        let end = format!(
            "{} after {} ({})",
            self.number(value),
            seconds(run.seconds),
            self.status(run)
        );
        let goal = targets.first().map(|&t| self.power(t));
        Some(match (goal, runs.len()) {
            (Some(goal), 1) => format!(
                "{name} does not reach a relative suboptimality of {goal}: it stops at {end}."
            ),
            (Some(goal), _) => format!(
                "No method reaches a relative suboptimality of {goal}; the closest, {name}, stops at {end}."
            ),
            (None, 1) => format!("{name} gets to a relative suboptimality of {end}."),
            (None, _) => format!("{name} comes closest, to a relative suboptimality of {end}."),
        })
    }

    /// The optimum is not known: who says that it converged.
    fn without_reference(&self, runs: &[&Run]) -> String {
        if let [run] = runs {
            let proof = run
                .certificate
                .as_ref()
                .map_or_else(String::new, |(kind, value)| {
                    let kind = (self.voice.text)(&words(kind));
                    format!(" ({kind} {})", self.number(*value))
                });
            return format!("{} {}{proof}.", self.name(run), self.ending(run));
        }
        let converged = |r: &Run| r.status == "converged";
        let count = runs.iter().filter(|r| converged(r)).count();
        let first = least(runs, |r| converged(r).then_some(r.seconds));
        match first {
            None => format!("None of the {} methods converges.", runs.len()),
            Some((run, time)) => format!(
                "{} converges first, in {}; {count} of {} methods converge.",
                self.name(run),
                seconds(time),
                runs.len()
            ),
        }
    }

    fn ending(&self, run: &Run) -> String {
        let steps = if run.iterations == 1 {
            "iteration"
        } else {
            "iterations"
        };
        format!(
            "ends {} after {} {steps} and {}",
            self.status(run),
            run.iterations,
            seconds(run.seconds)
        )
    }
}

/// Whom the winner is compared with, and what to call them: the methods of the other kind (with or without second
/// derivatives) if there are any, otherwise all others.
fn rivals<'a>(runs: &[&'a Run], winner: &Run) -> (Vec<&'a Run>, String) {
    let second = |r: &Run| r.family == Family::SecondOrder;
    let others = |keep: &dyn Fn(&Run) -> bool| -> Vec<&'a Run> {
        runs.iter().copied().filter(|r| keep(r)).collect()
    };
    let other = others(&|r| second(r) != second(winner));
    if other.is_empty() {
        return (
            others(&|r| !std::ptr::eq(r, winner)),
            "next method".to_owned(),
        );
    }
    let mut families: Vec<Family> = other.iter().map(|r| r.family).collect();
    families.sort_unstable();
    families.dedup();
    let words: Vec<&str> = families.iter().map(|f| f.name()).collect();
    let kind = format!("best {} method", words.join(" or "));
    (other, kind)
}
