//! Products of matrices.

use super::{
    Evaluated, Primitive, Site, Tangents, Types, arity, batched_everywhere, floats, one, single,
};
use crate::array::{Array, Operand};
use crate::graph::{Graph, Vars};
use crate::types::{Shape, Type, Var};
use quadric_linalg::Scalar;

/// `(.., m, k)` times `(.., k, n)`: the products of as many pairs of matrices as the axes in front say, which are the same
/// for both.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct MatMul;

/// Both terms of the derivative of a bilinear operation.
pub(crate) fn bilinear(
    g: &mut Graph,
    op: &(impl Clone + Into<super::Op>),
    args: &[Var],
    tangents: &[Option<Var>],
) -> Tangents {
    let left = tangents[0].map(|t| g.emit(op.clone(), &[t, args[1]]));
    let right = tangents[1].map(|t| g.emit(op.clone(), &[args[0], t]));
    one(g.add_any(left, right))
}

impl Primitive for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [a, b] = arity(args)?;
        if a.rank() < 2 || a.rank() != b.rank() {
            return Err(format!(
                "takes matrices with the same axes in front, not {a} and {b}"
            ));
        }
        let inner = a.rank() - 2;
        if a.shape[..inner] != b.shape[..inner] || a.shape[inner + 1] != b.shape[inner] {
            return Err(format!(
                "{:?} times {:?} does not fit: the inner axes have {} and {} entries",
                &a.shape[..],
                &b.shape[..],
                a.shape[inner + 1],
                b.shape[inner],
            ));
        }
        let mut shape = a.shape;
        shape[inner + 1] = b.shape[inner + 1];
        single(Type::float(shape))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let (a, b) = (args[0].floats(), args[1].floats());
        let rank = args[0].shape.len();
        let (m, k) = (args[0].shape[rank - 2], args[0].shape[rank - 1]);
        let n = args[1].shape[rank - 1];
        let entry = |at: usize| {
            let (pair, i, j) = (at / (m * n), at / n % m, at % n);
            let (a, b) = (&a[(pair * m + i) * k..][..k], &b[pair * k * n..][..k * n]);
            let terms = (0..k).map(|l| a[l].to_f64() * b[l * n + j].to_f64());
            T::of(terms.sum())
        };
        Ok(vec![Array::Float(
            (0..results[0].len()).map(entry).collect(),
        )])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        bilinear(site.graph, self, site.args, tangents)
    }

    fn transpose(
        &self,
        site: &mut Site<'_>,
        linear: &[bool],
        cotangents: &[Option<Var>],
    ) -> Tangents {
        let (g, a, b) = (&mut *site.graph, site.args[0], site.args[1]);
        let Some(c) = cotangents[0] else {
            return [None, None].into_iter().collect();
        };
        let ca = linear[0].then(|| {
            let b = g.swap_last(b);
            g.emit(MatMul, &[c, b])
        });
        let cb = linear[1].then(|| {
            let a = g.swap_last(a);
            g.emit(MatMul, &[a, c])
        });
        [ca, cb].into_iter().collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        batched_everywhere(MatMul, site, batched, size)
    }

    fn flops(&self, args: &[&Type], results: &[Type]) -> u64 {
        let inner: Shape = args[0].shape.clone();
        2 * (results[0].len() * inner[inner.len() - 1]) as u64
    }
}
