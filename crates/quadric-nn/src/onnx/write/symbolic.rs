//! A program for any number of examples: what two traces for two numbers of examples have in common.

use super::super::known::Answer;
use quadric_autodiff::{Kind, Operation, Program, Step};
use std::collections::HashMap;

/// The length of an axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Length {
    Fixed(usize),
    /// So many times the number of examples.
    Batch(usize),
}

/// Kind and lengths of a value.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Signature {
    pub(super) kind: Kind,
    pub(super) lengths: Vec<Length>,
}

/// A program for any number of examples.
pub(super) struct Symbolic<'p> {
    pub(super) steps: Vec<Step<'p>>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    /// Of every value.
    pub(super) signatures: Vec<Signature>,
    /// The bodies of the scans, by the number of the step.
    pub(super) bodies: HashMap<usize, Self>,
    /// Which step makes a value.
    makers: HashMap<usize, usize>,
}

/// The length that an axis has for any number of examples, from those for two.
fn length([a, b]: [usize; 2], sizes: [usize; 2]) -> Option<Length> {
    let times = a / sizes[0];
    match (a, b) {
        (a, b) if a == b => Some(Length::Fixed(a)),
        (a, b) if times > 0 && [a, b] == sizes.map(|n| n * times) => Some(Length::Batch(times)),
        _ => None,
    }
}

/// Whether two operations differ in nothing but the number of examples.
fn is_same(a: &Operation<'_>, b: &Operation<'_>) -> bool {
    match (a, b) {
        (
            Operation::Scan {
                body: _,
                length,
                consts,
                carries,
                sums,
                from_end,
            },
            Operation::Scan {
                body: _,
                length: l,
                consts: k,
                carries: c,
                sums: s,
                from_end: f,
            },
        ) => (length, consts, carries, sums, from_end) == (l, k, c, s, f),
        (a, b) => a == b,
    }
}

impl<'p> Symbolic<'p> {
    /// From the programs of one network for two numbers of examples.
    ///
    /// # Errors
    ///
    /// If they differ in more than lengths that are multiples of these numbers.
    pub(super) fn new(programs: [&'p Program; 2], sizes: [usize; 2]) -> Answer<Self> {
        let [a, b] = programs;
        let mut signatures = Signatures {
            programs,
            sizes,
            all: HashMap::new(),
        };
        let differs = |what: &str| {
            format!("{what} depends on the number of examples by more than the lengths of axes")
        };
        if a.len() != b.len() || a.input_values() != b.input_values() {
            return Err(differs("what it computes"));
        }
        let mut bodies = HashMap::new();
        let mut makers = HashMap::new();
        let mut steps = Vec::with_capacity(a.len());
        for (number, (s, t)) in a.steps().zip(b.steps()).enumerate() {
            let same = s.arguments == t.arguments && s.results == t.results;
            if !same || !is_same(&s.operation, &t.operation) {
                return Err(differs(&format!("the operation `{}`", s.name)));
            }
            if let (Operation::Scan { body: x, .. }, Operation::Scan { body: y, .. }) =
                (&s.operation, &t.operation)
            {
                bodies.insert(number, Self::new([x, y], sizes)?);
            }
            for &v in &s.results {
                signatures.add(v, s.name)?;
                makers.insert(v, number);
            }
            steps.push(s);
        }
        for v in a.input_values() {
            signatures.add(v, "input")?;
        }
        if a.output_values() != b.output_values() {
            return Err(differs("what it returns"));
        }
        let (inputs, outputs) = (a.input_values(), a.output_values());
        Ok(Self {
            steps,
            inputs,
            outputs,
            signatures: signatures.finish()?,
            bodies,
            makers,
        })
    }

    /// The step that makes a value, if it is no input.
    pub(super) fn maker(&self, value: usize) -> Option<&Step<'p>> {
        self.makers.get(&value).map(|&i| &self.steps[i])
    }

    pub(super) fn lengths(&self, value: usize) -> &[Length] {
        &self.signatures[value].lengths
    }

    /// The number that every entry of a value is, if it is a constant.
    pub(super) fn filled(&self, value: usize) -> Option<f64> {
        match self.maker(value)?.operation {
            Operation::Fill(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }
}

/// Kinds and lengths of values while they are found.
struct Signatures<'p> {
    programs: [&'p Program; 2],
    sizes: [usize; 2],
    all: HashMap<usize, Signature>,
}

impl Signatures<'_> {
    fn add(&mut self, value: usize, name: &str) -> Answer<()> {
        let [a, b] = self.programs.map(|p| p.type_of(value));
        let pairs = a.shape.iter().zip(&b.shape);
        let lengths: Option<Vec<Length>> =
            pairs.map(|(&a, &b)| length([a, b], self.sizes)).collect();
        let wrong = || {
            let [m, n] = self.sizes;
            format!(
                "the result of `{name}` is {a} for {m} examples and {b} for {n}; each axis must have a fixed length or a multiple of the number of examples"
            )
        };
        let fits = a.kind == b.kind && a.rank() == b.rank();
        let lengths = lengths.filter(|_| fits).ok_or_else(wrong)?;
        let kind = a.kind;
        self.all.insert(value, Signature { kind, lengths });
        Ok(())
    }

    /// By number; every number below the count is a value.
    fn finish(mut self) -> Answer<Vec<Signature>> {
        (0..self.all.len())
            .map(|v| {
                let found = self.all.remove(&v);
                found.ok_or_else(|| format!("the program has no value {v}"))
            })
            .collect()
    }
}
