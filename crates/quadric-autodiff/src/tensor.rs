//! Handles of traced values, and what can be computed with them.
//!
//! Methods that can be given wrong shapes end the trace: [`Program::trace`](crate::Program::trace) returns an error that names the
//! operation and the line that called it. Axes are counted from 0, or from the end as -1, -2, ... Arithmetic repeats the
//! argument with fewer entries along axes that are missing in front or have length 1, as NumPy does.

mod composite;
mod operators;

pub use composite::{Padding, Windows};

use crate::ops::{
    Binary, Broadcast, Concat, CumulativeSum, Detach, Gather, MatMul, Op, Pad, Permute, Real,
    ReduceMax, ReduceSum, Reshape, Reverse, ScatterAdd, Select, Slice, Unary,
};
use crate::tracer::{Tracer, fail};
use crate::types::{Shape, Var};
use std::ops::Range;
use std::panic::Location;

/// A value of a program that is being traced. Copying it copies the handle.
#[derive(Clone, Copy)]
pub struct Tensor<'t> {
    pub(crate) tracer: &'t Tracer,
    pub(crate) level: u32,
    pub(crate) var: Var,
}

impl Tensor<'_> {
    /// Whether both are one value: the same input, or the result of the same equation. Equal equations are emitted once, so this
    /// tells, too, whether two ways of computing something are one.
    pub fn is(self, other: Self) -> bool {
        std::ptr::eq(self.tracer, other.tracer)
            && (self.level, self.var) == (other.level, other.var)
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident = $op:expr;)*) => {
        /// Functions of one entry at a time.
        impl<'t> Tensor<'t> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(self) -> Self {
                self.tracer.emit($op, &[self])
            })*
        }
    };
}

unary_methods! {
    /// |x|; its derivative at 0 is 0.
    abs = Unary::Abs;
    /// -1, 0 or 1; its derivative is 0.
    sign = Unary::Sign;
    /// The largest integer that is not above x; its derivative is 0.
    floor = Unary::Floor;
    /// eˣ.
    exp = Unary::Exp;
    /// The natural logarithm.
    log = Unary::Log;
    /// log(1 + x), accurate for small x.
    log1p = Unary::Log1p;
    /// The square root.
    sqrt = Unary::Sqrt;
    /// The sine.
    sin = Unary::Sin;
    /// The cosine.
    cos = Unary::Cos;
    /// The inverse tangent.
    atan = Unary::Atan;
    /// The hyperbolic tangent.
    tanh = Unary::Tanh;
    /// 1 / (1 + e⁻ˣ).
    sigmoid = Unary::Sigmoid;
    /// log(1 + eˣ), without overflow.
    softplus = Unary::Softplus;
    /// The error function.
    erf = Unary::Erf;
    /// The value, which derivatives take for a constant.
    detach = Detach;
    /// Indices as real numbers.
    to_float = Real;
}

impl<'t> Tensor<'t> {
    /// The trace that the tensor belongs to.
    pub fn tracer(self) -> &'t Tracer {
        self.tracer
    }

    /// Lengths of the axes.
    #[track_caller]
    pub fn shape(self) -> Shape {
        self.tracer.type_of(self, Location::caller()).shape
    }

    /// Length of one axis.
    #[track_caller]
    pub fn dim(self, axis: isize) -> usize {
        let shape = self.shape();
        shape[self.axis("dim", axis, shape.len())]
    }

    /// The axis counted from 0.
    #[track_caller]
    pub(crate) fn axis(self, what: &str, axis: isize, rank: usize) -> usize {
        let found = if axis < 0 { axis + rank as isize } else { axis };
        if found < 0 || found >= rank as isize {
            fail(
                what,
                &format!("a tensor with {rank} axes has no axis {axis}"),
                Location::caller(),
            );
        }
        found as usize
    }

    /// Different axes in order, counted from 0.
    #[track_caller]
    fn sorted_axes(self, what: &str, axes: &[isize]) -> Shape {
        let rank = self.shape().len();
        let mut sorted = Shape::new();
        // No closure: it would be the caller.
        for &a in axes {
            sorted.push(self.axis(what, a, rank));
        }
        sorted.sort_unstable();
        sorted
    }

    /// x to a constant power.
    #[track_caller]
    pub fn powf(self, exponent: f64) -> Self {
        self.tracer.emit(Unary::power(exponent), &[self])
    }

    /// x².
    #[track_caller]
    pub fn square(self) -> Self {
        self.tracer.emit(Binary::Mul, &[self, self])
    }

    /// A constant tensor of the same shape.
    #[track_caller]
    pub fn fill_like(self, value: f64) -> Self {
        self.tracer.fill(value, self.shape())
    }

    /// Both tensors with the shape that holds either repeated.
    #[track_caller]
    fn aligned(self, other: Self, what: &str) -> (Self, Self) {
        let (a, b) = (self.shape(), other.shape());
        if a == b {
            return (self, other);
        }
        let rank = a.len().max(b.len());
        let length = |s: &Shape, i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
        let shape: Option<Shape> = (0..rank)
            .map(|i| match (length(&a, i), length(&b, i)) {
                (m, n) if m == n || n == 1 => Some(m),
                (1, n) => Some(n),
                _ => None,
            })
            .collect();
        let Some(shape) = shape else {
            let message = format!("shapes {:?} and {:?} do not fit", &a[..], &b[..]);
            fail(what, &message, Location::caller());
        };
        (self.broadcast_to(shape.clone()), other.broadcast_to(shape))
    }

    #[track_caller]
    pub(crate) fn binary(self, f: Binary, other: Self) -> Self {
        let (a, b) = self.aligned(other, crate::ops::Primitive::name(&f));
        self.tracer.emit(f, &[a, b])
    }

    /// The larger of two entries; NaN if either is. At a tie each gets half of the derivative.
    #[track_caller]
    pub fn maximum(self, other: Self) -> Self {
        self.binary(Binary::Max, other)
    }

    /// The smaller of two entries; NaN if either is. At a tie each gets half of the derivative.
    #[track_caller]
    pub fn minimum(self, other: Self) -> Self {
        self.binary(Binary::Min, other)
    }

    /// 1 where the entries are equal, else 0. Indices can be compared, too.
    #[track_caller]
    pub fn equal(self, other: Self) -> Self {
        self.binary(Binary::Equal, other)
    }

    /// 1 where `self < other`, else 0.
    #[track_caller]
    pub fn less(self, other: Self) -> Self {
        self.binary(Binary::Less, other)
    }

    /// 1 where `self <= other`, else 0.
    #[track_caller]
    pub fn less_equal(self, other: Self) -> Self {
        self.binary(Binary::LessEqual, other)
    }

    /// `a` where `self` is not zero, else `b`; what is not chosen may be NaN.
    #[track_caller]
    pub fn select(self, a: Self, b: Self) -> Self {
        let (a, b) = a.aligned(b, "select");
        let mask = self.broadcast_to(a.shape());
        self.tracer.emit(Select, &[mask, a, b])
    }
}

/// The same entries in another arrangement.
impl<'t> Tensor<'t> {
    /// Repeats the entries along axes that are missing in front or have length 1.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl IntoIterator<Item = usize>) -> Self {
        let shape: Shape = shape.into_iter().collect();
        let own = self.shape();
        let front = shape.len().checked_sub(own.len());
        let fits = |front: usize| {
            own.iter()
                .zip(&shape[front..])
                .all(|(&m, &n)| m == n || m == 1)
        };
        let Some(front) = front.filter(|&f| fits(f)) else {
            let message = format!("{:?} cannot be repeated to {:?}", &own[..], &shape[..]);
            fail("broadcast", &message, Location::caller());
        };
        let kept = (0..own.len()).filter(|&i| own[i] == shape[front + i]);
        let axes: Shape = kept.clone().map(|i| front + i).collect();
        let squeezed = self.reshape(kept.map(|i| own[i]));
        self.tracer.emit(Broadcast { shape, axes }, &[squeezed])
    }

    /// The same entries in row-major order under another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl IntoIterator<Item = usize>) -> Self {
        let shape = shape.into_iter().collect();
        self.tracer.emit(Reshape { shape }, &[self])
    }

    /// One more axis of length 1, before `axis`; -1 is behind the last.
    #[track_caller]
    pub fn expand(self, axis: isize) -> Self {
        let mut shape = self.shape();
        let at = self.axis("expand", axis, shape.len() + 1);
        shape.insert(at, 1);
        self.reshape(shape)
    }

    /// Another order of the axes: axis i of the result is axis `axes[i]`.
    #[track_caller]
    pub fn permute(self, axes: &[isize]) -> Self {
        let rank = self.shape().len();
        let mut order = Shape::new();
        for &a in axes {
            order.push(self.axis("permute", a, rank));
        }
        self.tracer.emit(Permute { axes: order }, &[self])
    }

    /// The last two axes exchanged.
    #[track_caller]
    pub fn transpose(self) -> Self {
        let rank = self.shape().len() as isize;
        let mut axes: Vec<isize> = (0..rank).collect();
        let (a, b) = (
            self.axis("transpose", -2, rank as usize),
            self.axis("transpose", -1, rank as usize),
        );
        axes.swap(a, b);
        self.permute(&axes)
    }

    /// The entries of a range along an axis.
    #[track_caller]
    pub fn slice(self, axis: isize, range: Range<usize>) -> Self {
        let size = range.end.saturating_sub(range.start);
        self.slice_steps(axis, range.start, size, 1)
    }

    /// `size` entries along an axis, from `start` on, `step` apart.
    #[track_caller]
    pub fn slice_steps(self, axis: isize, start: usize, size: usize, step: usize) -> Self {
        let shape = self.shape();
        let axis = self.axis("slice", axis, shape.len());
        let mut op = Slice {
            starts: shape.iter().map(|_| 0).collect(),
            steps: shape.iter().map(|_| 1).collect(),
            sizes: shape,
        };
        // Between fewer than two entries there is no step.
        let step = if size < 2 { step.min(1) } else { step };
        (op.starts[axis], op.sizes[axis], op.steps[axis]) = (start, size, step);
        self.tracer.emit(op, &[self])
    }

    /// Zeros before and after the entries along an axis.
    #[track_caller]
    pub fn pad(self, axis: isize, before: usize, after: usize) -> Self {
        let rank = self.shape().len();
        let axis = self.axis("pad", axis, rank);
        let none: Shape = (0..rank).map(|_| 0).collect();
        let mut op = Pad {
            before: none.clone(),
            between: none.clone(),
            after: none,
        };
        (op.before[axis], op.after[axis]) = (before, after);
        self.tracer.emit(op, &[self])
    }

    /// This tensor and others one after another along an axis.
    #[track_caller]
    pub fn concat(self, others: &[Self], axis: isize) -> Self {
        let axis = self.axis("concat", axis, self.shape().len());
        let all: Vec<Self> = std::iter::once(self)
            .chain(others.iter().copied())
            .collect();
        self.tracer.emit(Concat { axis }, &all)
    }

    /// The entries in opposite order along some axes.
    #[track_caller]
    pub fn reverse(self, axes: &[isize]) -> Self {
        let axes = self.sorted_axes("reverse", axes);
        self.tracer.emit(Reverse { axes }, &[self])
    }
}

/// Along axes.
impl<'t> Tensor<'t> {
    /// The sum along some axes, which vanish.
    #[track_caller]
    pub fn sum(self, axes: &[isize]) -> Self {
        let axes = self.sorted_axes("sum", axes);
        self.tracer.emit(ReduceSum { axes }, &[self])
    }

    /// The sum of all entries.
    #[track_caller]
    pub fn sum_all(self) -> Self {
        let axes = (0..self.shape().len()).collect();
        self.tracer.emit(ReduceSum { axes }, &[self])
    }

    /// The mean along some axes, which vanish.
    #[track_caller]
    pub fn mean(self, axes: &[isize]) -> Self {
        let shape = self.shape();
        let count: usize = self
            .sorted_axes("mean", axes)
            .iter()
            .map(|&a| shape[a])
            .product();
        self.sum(axes) / count as f64
    }

    /// The mean of all entries.
    #[track_caller]
    pub fn mean_all(self) -> Self {
        self.sum_all() / self.shape().iter().product::<usize>() as f64
    }

    /// The largest entry along some axes, which vanish; NaN if one of the entries is. Equal largest entries share the
    /// derivative equally.
    #[track_caller]
    pub fn max(self, axes: &[isize]) -> Self {
        let axes = self.sorted_axes("max", axes);
        self.tracer.emit(ReduceMax { axes }, &[self])
    }

    /// At each entry the sum of all entries up to it along an axis.
    #[track_caller]
    pub fn cumulative_sum(self, axis: isize) -> Self {
        let axis = self.axis("cumulative_sum", axis, self.shape().len());
        let from_end = false;
        self.tracer.emit(CumulativeSum { axis, from_end }, &[self])
    }

    /// Products of matrices, `(.., m, k)` times `(.., k, n)`; the axes in front are repeated as arithmetic does.
    #[track_caller]
    pub fn matmul(self, other: Self) -> Self {
        let (a, b) = (self.shape(), other.shape());
        if a.len() < 2 || b.len() < 2 {
            let message = format!("takes matrices, not {:?} and {:?}", &a[..], &b[..]);
            fail("matmul", &message, Location::caller());
        }
        let (front_a, front_b) = (&a[..a.len() - 2], &b[..b.len() - 2]);
        // One matrix for all: its partner's matrices are one with more rows.
        if front_b.is_empty() && !front_a.is_empty() {
            let rows = front_a.iter().product::<usize>() * a[a.len() - 2];
            let flat = self.reshape([rows, a[a.len() - 1]]).matmul(other);
            let ends = a[..a.len() - 1].iter().copied().chain([b[1]]);
            return flat.reshape(ends);
        }
        let rank = a.len().max(b.len());
        let full = |s: &Shape| -> Shape {
            let ones = std::iter::repeat_n(1, rank - s.len());
            ones.chain(s.iter().copied()).collect()
        };
        let (x, y) = (self.reshape(full(&a)), other.reshape(full(&b)));
        let (a, b) = (x.shape(), y.shape());
        let front = (0..rank - 2).map(|i| if a[i] == 1 { b[i] } else { a[i] });
        let front: Shape = front.collect();
        let whole = |s: &Shape| -> Shape { front.iter().chain(&s[rank - 2..]).copied().collect() };
        let (x, y) = (x.broadcast_to(whole(&a)), y.broadcast_to(whole(&b)));
        self.tracer.emit(Op::MatMul(MatMul), &[x, y])
    }

    /// The rows of this table that `indices` name: `(rows, inner..)` and `(outer..)` give `(outer.., inner..)`. An index that
    /// names no row is an error when the program runs.
    #[track_caller]
    pub fn gather(self, indices: Self) -> Self {
        self.tracer.emit(Gather { batch: 0 }, &[self, indices])
    }

    /// Rows `(outer.., inner..)` by indices `(outer..)`: a table `(rows, inner..)` of the sums of those that each row is named by. An
    /// index that names no row is an error when the program runs.
    #[track_caller]
    pub fn scatter_add(self, indices: Self, rows: usize) -> Self {
        let op = ScatterAdd { batch: 0, rows };
        self.tracer.emit(op, &[indices, self])
    }
}
