//! Uniform numbers that depend on a key and on the place in the program, and on nothing else.

use super::{Evaluated, Primitive, Site, Tangents, Types, arity, one, single};
use crate::array::{Array, Operand};
use crate::graph::Vars;
use crate::types::{Kind, Shape, Type, Var};
use quadric_linalg::Scalar;
use quadric_linalg::random::philox;

/// Numbers are multiples of 1 / UNITS, which both precisions hold exactly.
pub(crate) const UNITS: f64 = (1_u32 << 24) as f64;

/// `keys (batch.., 2)` give `(batch.., shape..)`: for each key numbers that are uniform in [0, 1). Entry i is made of word i mod 4
/// of Philox4x32-10 at the counter (low and high half of i / 4, `stream`, 0).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Random {
    /// Which of the calls of a trace it is: two of them give different numbers.
    pub(crate) stream: u32,
    pub(crate) shape: Shape,
}

impl Random {
    /// The entries from number `first` on of the results of all keys.
    pub(crate) fn fill<T: Scalar>(&self, keys: &[i32], first: usize, out: &mut [T]) {
        let len: usize = self.shape.iter().product();
        let (mut at, mut rest) = (first, out);
        while !rest.is_empty() {
            let (key, entry) = (at / len * 2, at % len);
            let key = [keys[key] as u32, keys[key + 1] as u32];
            let block = entry as u64 / 4;
            let counter = [block as u32, (block >> 32) as u32, self.stream, 0];
            let words = philox(counter, key);
            let words = &words[entry % 4..];
            let count = words.len().min(rest.len()).min(len - entry);
            let (head, tail) = rest.split_at_mut(count);
            for (o, word) in head.iter_mut().zip(words) {
                *o = T::of(f64::from(word >> 8) / UNITS);
            }
            (at, rest) = (at + count, tail);
        }
    }
}

impl Primitive for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [keys] = arity(args)?;
        match keys.shape.split_last() {
            Some((2, front)) if keys.kind == Kind::Index => {
                single(Type::float(front.iter().chain(&self.shape).copied()))
            }
            _ => Err(format!("takes a key, index[2], not {keys}")),
        }
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let mut out = vec![T::of(0.0); results[0].len()];
        self.fill(args[0].indices(), 0, &mut out);
        Ok(vec![Array::Float(out)])
    }

    fn jvp(&self, _: &mut Site<'_>, _: &[Option<Var>]) -> Tangents {
        one(None)
    }

    fn transpose(&self, _: &mut Site<'_>, _: &[bool], _: &[Option<Var>]) -> Tangents {
        unreachable!("keys carry no cotangents")
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        std::iter::once(site.graph.emit(self.clone(), site.args)).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}
