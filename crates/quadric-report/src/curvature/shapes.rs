//! A matrix at several granularities, its diagonal and its condition: the numbers, and what they say.

use super::check::finite;
use super::findings::percent;
use super::{Curvature, Estimate, MATRICES, Spectrum};
use crate::format::{clean, list, number_raised, power};
use quadric_core::Result;
use serde::{Deserialize, Serialize};

/// How far the condition of `A + δ I` is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Knowledge {
    /// All eigenvalues are known.
    #[default]
    Exact,
    /// Both ends are, each within its error.
    Ends,
    /// No eigenvalue is negative; the condition is at most the value.
    Bound,
    /// There are eigenvalues below -δ, and not all others are known: the value is absent.
    Indefinite,
}

/// The condition of `A + δ I`: the largest over the smallest eigenvalue, in magnitude.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// How far it is known.
    pub known: Knowledge,
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The lowest and the highest value that the errors of both ends allow; absent where these do not bound it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<[f64; 2]>,
}

/// The diagonal of a matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagonal {
    /// Whether the entries are exact.
    pub exact: bool,
    /// Probability that the interval of an entry holds it; 1 where they are exact.
    pub level: f64,
    /// The layers in the order of the parameters.
    pub layers: Vec<Quantiles>,
}

/// The entries of a diagonal that belong to a layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// Its name.
    pub name: String,
    /// Number of parameters.
    pub parameters: u64,
    /// The smallest entry.
    pub min: f64,
    /// Five per cent of the entries are not larger.
    pub q05: f64,
    /// Half of the entries are not larger.
    pub median: f64,
    /// Ninety-five per cent of the entries are not larger.
    pub q95: f64,
    /// The largest entry.
    pub max: f64,
    /// The median of the errors of the entries: half the lengths of their intervals.
    pub error: f64,
}

/// A shape S of a matrix A, or why it is not there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// Its name: full, layers, kronecker, ekfac, units, diagonal or low-rank.
    pub shape: String,
    /// Why it is not there, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
    /// Bytes that it would have taken, more than there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Numbers that it consists of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<u64>,
    /// What it takes to make it, in gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradients: Option<f64>,
    /// Its trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<f64>,
    /// Its largest eigenvalue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest: Option<f64>,
    /// `log det (S + δ I)`; absent where that is not positive definite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_det: Option<f64>,
    /// `‖A - S‖ / ‖A‖` in the Frobenius norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Estimate>,
    /// The cosine of the angle between `(S + δ I)⁻¹ g` and `(A + δ I)⁻¹ g` for the gradient g.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
    /// Pieces of the parameters that it takes for 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

/// How far `(A + δ I)⁻¹ g` is known, with which the cosines of shapes compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Solution {
    /// Its relative residual; 0 where it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<f64>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// Errors below this come from rounding.
const ROUNDING: f64 = 1e-9;

impl Spectrum {
    /// Checks the numbers of shapes, of the diagonal and of the condition.
    pub(super) fn check_shapes(&self, name: &str) -> Result<()> {
        let field = |part: &str| format!("{name}.{part}");
        finite(&field("damping"), self.damping)?;
        let condition = self.damped_condition.iter();
        let condition =
            condition.flat_map(|c| c.value.into_iter().chain(c.ends.into_iter().flatten()));
        finite(&field("damped_condition"), condition)?;
        let layers = self.diagonal.iter().flat_map(|d| &d.layers);
        let layers = layers.flat_map(|l| [l.min, l.q05, l.median, l.q95, l.max, l.error]);
        finite(&field("diagonal"), layers)?;
        let error = |e: &Estimate| [e.value, e.low, e.high, e.level];
        let shapes = self.shapes.iter().flat_map(|s| {
            let all = [s.gradients, s.trace, s.largest, s.log_det, s.cosine];
            let all = all.into_iter().flatten();
            all.chain(s.error.iter().flat_map(error))
        });
        finite(&field("shapes"), shapes)
    }
}

impl Condition {
    /// In a cell.
    pub(super) fn spelled(&self, spell: fn(f64) -> String) -> String {
        match (self.known, self.value) {
            (Knowledge::Indefinite, _) | (_, None) => "indefinite".to_owned(),
            (Knowledge::Bound, Some(v)) => format!("≤ {}", spell(v)),
            (Knowledge::Exact | Knowledge::Ends, Some(v)) => spell(v),
        }
    }
}

/// What the condition of the main matrix says.
pub(super) fn condition(name: &str, m: &Spectrum) -> Option<String> {
    let (c, damping) = (m.damped_condition?, number_raised(m.damping?));
    let Some(value) = c.value.map(number_raised) else {
        return Some(format!(
            "The {name} plus the damping δ = {damping} is not positive definite: there are eigenvalues below -δ."
        ));
    };
    let how = match (c.known, c.ends) {
        (Knowledge::Bound, _) => format!("at most {value}, since no eigenvalue is negative"),
        (Knowledge::Ends, Some([low, high])) => {
            let (low, high) = (number_raised(low), number_raised(high));
            match low == high {
                true => value,
                false => format!("{value} ({low} to {high} within the errors of both ends)"),
            }
        }
        _ => value,
    };
    let own = m.condition.map_or_else(String::new, |own| {
        format!(", and without damping {}", number_raised(own))
    });
    let least = m.bottom.first().map_or(0.0, |e| e.value);
    let sign = match least + m.damping? < 0.0 {
        true => ", by the sizes of the eigenvalues, since the damping leaves negative ones",
        false => "",
    };
    Some(format!(
        "With the damping δ = {damping} the condition of the {name} is {how}{own}{sign}."
    ))
}

/// The shape that is nearest to the whole matrix and smaller than it.
pub(super) fn nearest(name: &str, m: &Spectrum, parameters: u64) -> Option<String> {
    let whole = parameters.saturating_mul(parameters);
    let smaller = m.shapes.iter();
    let smaller = smaller.filter(|s| s.numbers.is_some_and(|n| n < whole));
    let known = smaller.filter_map(|s| Some((s, s.error?)));
    let all: Vec<(&Shape, Estimate)> = known.collect();
    let (best, error) = all.iter().min_by(|a, b| a.1.value.total_cmp(&b.1.value))?;
    let cosine = best.cosine.map_or_else(String::new, |c| {
        format!(
            "; its damped natural gradient has the cosine {} with the true one",
            fraction(c)
        )
    });
    let value = percent(error.value);
    let sure = match error.level < 1.0 {
        true => format!(
            " ({} to {} with {} confidence)",
            percent(error.low),
            percent(error.high),
            percent(error.level)
        ),
        false => String::new(),
    };
    let (best, numbers) = (&best.shape, best.numbers.unwrap_or(0));
    Some(format!(
        "Of the shapes of the {name} that are smaller than it, {best} is the nearest: with {numbers} numbers its error in the Frobenius \
         norm is {value}{sure}{cosine}."
    ))
}

/// A cosine or a share with the digits that tell it from 1.
fn fraction(v: f64) -> String {
    if 1.0 - v.abs() < 1e-9 {
        return format!("{v:.0}");
    }
    let digits = -(1.0 - v.abs()).log10().floor();
    format!("{v:.*}", (digits as usize + 1).clamp(3, 9))
}

/// The cells of a row about a shape behind its name; `none` stands for what is absent.
pub(super) fn cells(s: &Shape, spell: fn(f64) -> String, none: &str) -> Vec<String> {
    let number = |v: Option<f64>| v.map_or_else(|| none.to_owned(), spell);
    let unknown = || (none.to_owned(), none.to_owned());
    let (error, interval) = s.error.as_ref().map_or_else(unknown, error);
    vec![
        s.numbers.map_or_else(|| none.to_owned(), |n| n.to_string()),
        number(s.gradients),
        number(s.trace),
        number(s.largest),
        number(s.log_det),
        error,
        interval,
        s.cosine.map_or_else(|| none.to_owned(), fraction),
    ]
}

/// The cells of a row about a layer of a diagonal behind its name.
pub(super) fn quantile_cells(l: &Quantiles, exact: bool, spell: fn(f64) -> String) -> Vec<String> {
    let mut cells = vec![l.parameters.to_string()];
    cells.extend([l.min, l.q05, l.median, l.q95, l.max].map(spell));
    cells.push(match exact {
        true => "exact".to_owned(),
        false => format!("±{}", spell(l.error)),
    });
    cells
}

/// The error of a shape and its interval.
fn error(e: &Estimate) -> (String, String) {
    let interval = match e.level >= 1.0 {
        true => "exact".to_owned(),
        false => format!("{} to {}", percent(e.low), percent(e.high)),
    };
    // Rounding is no error.
    let value = if e.value < ROUNDING { 0.0 } else { e.value };
    (percent(value), interval)
}

/// The names of the shapes of which the same is said.
fn grouped<'a, K: PartialEq>(said: impl Iterator<Item = (K, &'a Shape)>) -> Vec<(K, Vec<String>)> {
    let mut all: Vec<(K, Vec<String>)> = Vec::new();
    for (key, shape) in said {
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, names)) => names.push(shape.shape.clone()),
            None => all.push((key, vec![shape.shape.clone()])),
        }
    }
    all
}

/// What shapes are not there, what they leave out, and with what their natural gradients are compared, in sentences.
pub(super) fn remarks(m: &Spectrum) -> Vec<String> {
    let mut all = Vec::new();
    let absent = m.shapes.iter();
    let reasons = grouped(absent.filter_map(|s| Some((s.absent.as_deref()?, s))));
    for (why, names) in reasons {
        let verb = if names.len() == 1 { "is" } else { "are" };
        let why = clean(why, 300);
        all.push(format!("{} {verb} left out: {why}.", list(&names)));
    }
    let pieces = m.shapes.iter().filter(|s| !s.without.is_empty());
    let pieces = grouped(pieces.map(|s| (&s.without[..], s)));
    for (without, names) in pieces {
        let mut words: Vec<String> = without.iter().take(4).map(|n| clean(n, 40)).collect();
        if without.len() > words.len() {
            words.push(format!("{} more", without.len() - words.len()));
        }
        let verb = if names.len() == 1 { "takes" } else { "take" };
        all.push(format!(
            "In {}, which multiply with no inputs of a layer, {} {verb} the matrix for 0.",
            list(&words),
            list(&names)
        ));
    }
    match &m.solution {
        Some(Solution {
            residual: Some(r), ..
        }) if *r > 0.0 => all.push(format!(
            "The true natural gradient is known to a relative residual of {}.",
            power(*r)
        )),
        Some(Solution {
            unknown: Some(why), ..
        }) => all.push(format!(
            "There is no true natural gradient to compare with: {}.",
            clean(why, 300)
        )),
        _ => {}
    }
    all
}

/// The matrices that have shapes, or a diagonal, with their names.
pub(super) fn with(
    c: &Curvature,
    has: fn(&Spectrum) -> bool,
) -> impl Iterator<Item = (&'static str, &Spectrum)> {
    let all = c.matrices().filter(move |(_, m)| has(m));
    all.map(|(i, m)| (MATRICES[i].1, m))
}
