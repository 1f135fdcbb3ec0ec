//! What an operation sees of its node: inputs, attributes, and the network around it.

use super::attribute::Attribute;
use super::graph::{Graph, Node};
use super::known::{Answer, Element, Known};
use super::value::Value;
use crate::Scope;
use quadric_autodiff::{Tensor, Tracer};

/// A node while it is traced.
pub(super) struct Site<'a, 't> {
    pub(super) graph: &'a Graph,
    pub(super) node: &'a Node,
    pub(super) scope: &'a Scope<'t>,
    pub(super) inputs: Vec<Option<Value<'t>>>,
}

/// An axis counted from 0; a negative one counts from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Answer<usize> {
    let from_start = if axis < 0 {
        axis.checked_add(rank as i64)
    } else {
        Some(axis)
    };
    let found = from_start.and_then(|a| usize::try_from(a).ok());
    found
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("there is no axis {axis} among {rank}"))
}

/// Different axes, counted from 0, in order.
pub(super) fn axes(given: &[i64], rank: usize) -> Answer<Vec<usize>> {
    let all: Answer<Vec<usize>> = given.iter().map(|&a| axis(a, rank)).collect();
    let mut all = all?;
    all.sort_unstable();
    if all.windows(2).any(|w| w[0] == w[1]) {
        return Err(format!("an axis is named twice in {given:?}"));
    }
    Ok(all)
}

/// Lengths, counts and positions that must not be negative.
pub(super) fn sizes(given: &[i64]) -> Answer<Vec<usize>> {
    let size = |&n: &i64| usize::try_from(n).map_err(|_| format!("{n} in {given:?} is negative"));
    given.iter().map(size).collect()
}

impl<'t> Site<'_, 't> {
    pub(super) fn tracer(&self) -> &'t Tracer {
        self.scope.tracer()
    }

    pub(super) fn opset(&self) -> i64 {
        self.graph.opset
    }

    /// An input that may be left out.
    pub(super) fn optional(&self, i: usize) -> Option<&Value<'t>> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    pub(super) fn value(&self, i: usize) -> Answer<&Value<'t>> {
        self.optional(i)
            .ok_or_else(|| format!("input {i} is missing"))
    }

    /// Every input; none may be left out.
    pub(super) fn all(&self) -> Answer<Vec<Value<'t>>> {
        if self.inputs.is_empty() {
            return Err("it has no inputs".to_owned());
        }
        (0..self.inputs.len())
            .map(|i| self.value(i).cloned())
            .collect()
    }

    /// An input as real numbers.
    pub(super) fn tensor(&self, i: usize) -> Answer<Tensor<'t>> {
        Ok(self.value(i)?.real(self.tracer()))
    }

    /// An input as real numbers, that must not be integers.
    pub(super) fn floats(&self, i: usize) -> Answer<Tensor<'t>> {
        let value = self.value(i)?;
        match value.element() {
            Element::Float => Ok(value.real(self.tracer())),
            _ => Err(format!("input {i} does not hold real numbers")),
        }
    }

    pub(super) fn optional_floats(&self, i: usize) -> Answer<Option<Tensor<'t>>> {
        self.optional(i).map(|_| self.floats(i)).transpose()
    }

    /// An input that must be known.
    pub(super) fn known(&self, i: usize) -> Answer<&Known> {
        match self.value(i)? {
            Value::Known(k) => Ok(k),
            _ => Err(format!(
                "input {i} must be known when the network is traced"
            )),
        }
    }

    /// An input that must be known, as integers.
    pub(super) fn integers(&self, i: usize) -> Answer<Vec<i64>> {
        self.known(i)?
            .to_integers()
            .map_err(|e| format!("input {i} {e}"))
    }

    pub(super) fn optional_integers(&self, i: usize) -> Answer<Option<Vec<i64>>> {
        self.optional(i).map(|_| self.integers(i)).transpose()
    }

    /// An input that must be one known number.
    pub(super) fn number(&self, i: usize) -> Answer<f64> {
        match self.known(i)?.to_floats()[..] {
            [v] => Ok(v),
            ref v => Err(format!("input {i} has {} entries, not one", v.len())),
        }
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.node.attributes.get(name)
    }

    pub(super) fn given_int(&self, name: &str) -> Answer<Option<i64>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Integer(v)) => Ok(Some(*v)),
            Some(_) => Err(format!("attribute `{name}` is no integer")),
        }
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Answer<i64> {
        Ok(self.given_int(name)?.unwrap_or(default))
    }

    /// An attribute that is 0 or 1.
    pub(super) fn flag(&self, name: &str, default: bool) -> Answer<bool> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    pub(super) fn given_float(&self, name: &str) -> Answer<Option<f64>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Float(v)) if v.is_finite() => Ok(Some(*v)),
            Some(Attribute::Float(v)) => Err(format!("attribute `{name}` is {v}")),
            Some(_) => Err(format!("attribute `{name}` is no real number")),
        }
    }

    pub(super) fn float(&self, name: &str, default: f64) -> Answer<f64> {
        Ok(self.given_float(name)?.unwrap_or(default))
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Answer<&str> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Text(v)) => Ok(v),
            Some(_) => Err(format!("attribute `{name}` is no text")),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Answer<Option<&[String]>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Texts(v)) => Ok(Some(v)),
            Some(_) => Err(format!("attribute `{name}` is no list of texts")),
        }
    }

    pub(super) fn ints(&self, name: &str) -> Answer<Option<&[i64]>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Integers(v)) => Ok(Some(v)),
            Some(_) => Err(format!("attribute `{name}` is no list of integers")),
        }
    }

    pub(super) fn array(&self, name: &str) -> Answer<Option<&Known>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Array(v)) => Ok(Some(v)),
            Some(_) => Err(format!("attribute `{name}` is no tensor")),
        }
    }

    /// Axes given by an attribute, or by an input in newer opsets.
    pub(super) fn axes_given(&self, input: usize) -> Answer<Option<Vec<i64>>> {
        match self.ints("axes")? {
            Some(v) => Ok(Some(v.to_vec())),
            None => self.optional_integers(input),
        }
    }
}
