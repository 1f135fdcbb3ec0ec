//! The primitives, each with all of its rules in one place.
//!
//! A rule that is missing does not compile: [`Primitive`] has no defaults, and the table at the end of this file admits only
//! what implements it. To add a primitive, write its rules in a file of this folder and its line in the table.

mod constant;
mod convolution;
mod elementwise;
mod index;
mod layout;
mod product;
mod random;
mod reduce;
mod scan;
mod window;

pub(crate) use constant::Constant;
pub(crate) use convolution::{Convolution, Geometry, Role};
pub(crate) use elementwise::{Binary, Detach, Real, Select, Unary};
pub(crate) use index::{Gather, NoRow, ScatterAdd, row};
pub(crate) use layout::{Broadcast, Concat, Pad, Permute, Reshape, Reverse, Slice};
pub(crate) use product::MatMul;
pub(crate) use random::{Random, UNITS};
pub(crate) use reduce::{CumulativeSum, ReduceMax, ReduceSum};
pub(crate) use scan::Scan;
pub(crate) use window::WindowArgmax;

use crate::array::{Array, Operand};
use crate::graph::{Graph, Vars};
use crate::types::{Type, Var};
use quadric_linalg::Scalar;
use smallvec::SmallVec;
use std::fmt;

/// Types of results.
pub(crate) type Types = SmallVec<[Type; 1]>;
/// Tangents or cotangents; none is a zero that nobody computes.
pub(crate) type Tangents = SmallVec<[Option<Var>; 4]>;
/// Values of results, or what is wrong with the entries of the arguments.
pub(crate) type Evaluated<T> = quadric_linalg::Result<Vec<Array<T>>>;

/// Where a rule is applied: an equation of a graph.
pub(crate) struct Site<'a> {
    pub(crate) graph: &'a mut Graph,
    /// Number of the equation.
    pub(crate) equation: usize,
    pub(crate) args: &'a [Var],
    pub(crate) results: &'a [Var],
}

/// The rules of a primitive.
pub(crate) trait Primitive {
    /// How the primitive is called in printed programs and in messages.
    fn name(&self) -> &'static str;

    /// The types of the results, or what is wrong with the arguments.
    fn infer(&self, args: &[&Type]) -> Result<Types, String>;

    /// The results. This is the meaning of the primitive, kept as plain as it can be: the executor computes most primitives
    /// faster, and is tested against this. An error says what is wrong with entries: types have been checked.
    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T>;

    /// The tangents of the results, linear in the tangents of the arguments.
    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents;

    /// Where the primitive is linear in the arguments marked `linear`: the cotangents of these, from those of the results.
    fn transpose(
        &self,
        site: &mut Site<'_>,
        linear: &[bool],
        cotangents: &[Option<Var>],
    ) -> Tangents;

    /// The results for many arguments at once: those marked `batched` have one more axis in front, of length `size`, as all
    /// results have.
    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars;

    /// Additions and multiplications of numbers, with one each for element-wise functions.
    fn flops(&self, args: &[&Type], results: &[Type]) -> u64;
}

/// The tangent of an operation that is linear in its only argument: the same operation.
pub(crate) fn same<P: Clone + Into<Op>>(
    op: &P,
    site: &mut Site<'_>,
    tangent: Option<Var>,
) -> Tangents {
    [tangent.map(|t| site.graph.emit(op.clone(), &[t]))]
        .into_iter()
        .collect()
}

/// One tangent.
pub(crate) fn one(v: Option<Var>) -> Tangents {
    std::iter::once(v).collect()
}

/// One result.
pub(crate) fn single(t: Type) -> Result<Types, String> {
    Ok(std::iter::once(t).collect())
}

/// The only result of an operation on arguments that all get the axis of the batch in front.
pub(crate) fn batched_everywhere(
    op: impl Into<Op>,
    site: &mut Site<'_>,
    batched: &[bool],
    size: usize,
) -> Vars {
    let pairs = site.args.iter().zip(batched);
    let args: Vars = pairs
        .map(|(&v, &b)| if b { v } else { site.graph.repeat(v, size) })
        .collect();
    std::iter::once(site.graph.emit(op, &args)).collect()
}

/// The number of arguments is right; only this library builds equations.
pub(crate) fn arity<const N: usize>(args: &[&Type]) -> Result<[Type; N], String> {
    let own: Vec<Type> = args.iter().map(|&t| t.clone()).collect();
    own.try_into()
        .map_err(|_| format!("takes {N} arguments, not {}", args.len()))
}

/// Real numbers are needed.
pub(crate) fn floats(args: &[&Type]) -> Result<(), String> {
    match args.iter().find(|t| t.kind != crate::types::Kind::Float) {
        Some(t) => Err(format!("takes real numbers, not {t}")),
        None => Ok(()),
    }
}

/// The table of the primitives.
macro_rules! primitives {
    ($($name:ident),* $(,)?) => {
        /// An operation of an equation: one of the primitives.
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub(crate) enum Op { $($name($name)),* }

        $(impl From<$name> for Op {
            fn from(p: $name) -> Self { Self::$name(p) }
        })*

        impl Primitive for Op {
            fn name(&self) -> &'static str {
                match self { $(Self::$name(p) => p.name()),* }
            }
            fn infer(&self, args: &[&Type]) -> Result<Types, String> {
                match self { $(Self::$name(p) => p.infer(args)),* }
            }
            fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
                match self { $(Self::$name(p) => p.eval(args, results)),* }
            }
            fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
                match self { $(Self::$name(p) => p.jvp(site, tangents)),* }
            }
            fn transpose(&self, site: &mut Site<'_>, linear: &[bool], cotangents: &[Option<Var>]) -> Tangents {
                match self { $(Self::$name(p) => p.transpose(site, linear, cotangents)),* }
            }
            fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
                match self { $(Self::$name(p) => p.batch(site, batched, size)),* }
            }
            fn flops(&self, args: &[&Type], results: &[Type]) -> u64 {
                match self { $(Self::$name(p) => p.flops(args, results)),* }
            }
        }
    };
}

primitives! {
    Constant,
    // One entry at a time.
    Unary, Binary, Select, Real, Detach,
    // The same entries in another order.
    Broadcast, Reshape, Permute, Slice, Pad, Concat, Reverse,
    // Along axes.
    ReduceSum, ReduceMax, CumulativeSum,
    // Bilinear.
    MatMul, Convolution,
    // By position.
    Gather, ScatterAdd, WindowArgmax,
    // By key.
    Random,
    // Over steps.
    Scan,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Constant(c) => write!(f, " {c}"),
            Self::Random(p) => write!(f, " {}", p.stream),
            Self::Permute(p) => write!(f, " {:?}", p.axes.as_slice()),
            Self::ReduceSum(p) => write!(f, " {:?}", p.axes.as_slice()),
            Self::ReduceMax(p) => write!(f, " {:?}", p.axes.as_slice()),
            Self::Broadcast(p) => write!(f, " {:?}", p.axes.as_slice()),
            _ => Ok(()),
        }
    }
}
