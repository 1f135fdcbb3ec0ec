//! The operators that are supported, by name: one function each, in files by family.

mod activation;
mod arithmetic;
mod choose;
mod conv;
mod elementwise;
mod layout;
mod linear;
mod normalize;
mod order;
mod pick;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod scatter;
mod shape;
mod volume;

use super::known::Answer;
use super::site::Site;
use super::value::Value;

/// The outputs of a node, from the first on; what a rule does not return is not supported.
pub(super) type Results<'t> = Answer<Vec<Value<'t>>>;

/// Computes the outputs of a node.
pub(super) type Rule = for<'a, 't> fn(&Site<'a, 't>) -> Results<'t>;

/// An operator.
pub(super) struct Entry {
    pub(super) name: &'static str,
    /// The attributes that the rule obeys; others are refused.
    pub(super) attributes: &'static [&'static str],
    pub(super) rule: Rule,
}

const fn entry(name: &'static str, attributes: &'static [&'static str], rule: Rule) -> Entry {
    Entry {
        name,
        attributes,
        rule,
    }
}

const FAMILIES: [&[Entry]; 16] = [
    activation::TABLE,
    arithmetic::TABLE,
    choose::TABLE,
    conv::TABLE,
    elementwise::TABLE,
    layout::TABLE,
    linear::TABLE,
    normalize::TABLE,
    order::TABLE,
    pick::TABLE,
    pool::TABLE,
    recurrent::TABLE,
    reduce::TABLE,
    resize::TABLE,
    scatter::TABLE,
    shape::TABLE,
];

/// The operator of a name.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    let mut all = FAMILIES.iter().flat_map(|f| f.iter());
    all.find(|e| e.name == name)
}

/// The names of all operators.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|f| f.iter()).map(|e| e.name)
}

/// A single output.
fn one<'t>(value: impl Into<Value<'t>>) -> Results<'t> {
    Ok(vec![value.into()])
}
