//! Programs laid open: their equations, for who translates them into other formats.

use crate::ops::{Constant, Op, Primitive, Role};
use crate::program::Program;
use crate::types::{Type, Var};
use quadric_linalg::convolution::Geometry;
use quadric_linalg::elementwise::{Binary, Unary};

/// An equation of a program. Values are known by number, see [`Program::type_of`].
#[derive(Clone, PartialEq, Debug)]
pub struct Step<'p> {
    /// What is computed; shapes are those of the values.
    pub operation: Operation<'p>,
    /// How the operation is called in printed programs.
    pub name: &'static str,
    /// Numbers of the arguments.
    pub arguments: Vec<usize>,
    /// Numbers of the results.
    pub results: Vec<usize>,
}

/// What an equation computes, without the shapes of arguments and results.
#[derive(Clone, PartialEq, Debug)]
pub enum Operation<'p> {
    /// One number, everywhere; its bits as those of an `f64`.
    Fill(u64),
    /// Given numbers, as the bits of `f64`, in row-major order.
    Floats(&'p [u64]),
    /// Given indices, in row-major order.
    Indices(&'p [i32]),
    /// The position along the last axis, as an index.
    Iota,
    /// A function of each entry.
    Unary(Unary),
    /// A function of two entries at the same place. Comparisons are 1 or 0, and may be of indices.
    Binary(Binary),
    /// The second argument where the first is not zero, else the third.
    Select,
    /// Indices as real numbers.
    Real,
    /// The same value, which has no derivatives.
    Detach,
    /// Repetition along new axes: axis i of the argument becomes this axis of the result.
    Broadcast(&'p [usize]),
    /// The same entries in row-major order under another shape.
    Reshape,
    /// Axis i of the result is this axis of the argument.
    Permute(&'p [usize]),
    /// Entries that lie evenly.
    Slice {
        /// The first along each axis.
        starts: &'p [usize],
        /// Distances along each axis.
        steps: &'p [usize],
    },
    /// Zeros around and between the entries.
    Pad {
        /// So many before the entries of each axis.
        before: &'p [usize],
        /// So many between two of them.
        between: &'p [usize],
        /// So many behind them.
        after: &'p [usize],
    },
    /// The arguments one after another along an axis.
    Concat(usize),
    /// The opposite order along some axes.
    Reverse(&'p [usize]),
    /// The sum along some axes, which vanish.
    Sum(&'p [usize]),
    /// The largest entry along some axes, which vanish.
    Max(&'p [usize]),
    /// At each entry the sum of all up to it along an axis.
    CumulativeSum {
        /// The axis.
        axis: usize,
        /// Whether the sums are of the entries from it on.
        from_end: bool,
    },
    /// `(.., m, k)` times `(.., k, n)`, with the same axes in front.
    MatMul,
    /// Images `(.., n, h, w, in)` and a kernel `(.., kh, kw, in / groups, out)` give `(.., n, oh, ow, out)`.
    Convolution(Geometry),
    /// The convolution's linear map of the input or of the kernel, transposed.
    ConvolutionAdjoint,
    /// Rows of a table `(batch.., rows, inner..)` that indices `(batch.., outer..)` name, with so many common axes.
    Gather(usize),
    /// Sums of the rows `(batch.., outer.., inner..)` by indices `(batch.., outer..)`, with so many common axes.
    ScatterAdd(usize),
    /// Where in the last four axes of images `(.., n, h, w, c)` the largest entry of each window is.
    WindowArgmax(Geometry),
    /// Random numbers of a key, and the number of the draw.
    Random(u32),
    /// A program that is run again and again.
    Scan {
        /// The program. Its inputs are constants, carries and slices along the first axis; its outputs carries for the next step,
        /// sums over the steps, and what is stacked along a new first axis.
        body: &'p Program,
        /// Number of steps.
        length: usize,
        /// Number of constants.
        consts: usize,
        /// Number of carries.
        carries: usize,
        /// Number of sums.
        sums: usize,
        /// Whether the last slices come first, and stacks are filled from their end.
        from_end: bool,
    },
}

impl<'p> Operation<'p> {
    fn of(op: &'p Op) -> Self {
        match op {
            Op::Constant(Constant::Fill { bits, .. }) => Self::Fill(*bits),
            Op::Constant(Constant::Floats { bits, .. }) => Self::Floats(bits),
            Op::Constant(Constant::Indices { values, .. }) => Self::Indices(values),
            Op::Constant(Constant::Iota { .. }) => Self::Iota,
            Op::Unary(f) => Self::Unary(*f),
            Op::Binary(f) => Self::Binary(*f),
            Op::Select(_) => Self::Select,
            Op::Real(_) => Self::Real,
            Op::Detach(_) => Self::Detach,
            Op::Broadcast(p) => Self::Broadcast(&p.axes),
            Op::Reshape(_) => Self::Reshape,
            Op::Permute(p) => Self::Permute(&p.axes),
            Op::Slice(p) => Self::Slice {
                starts: &p.starts,
                steps: &p.steps,
            },
            Op::Pad(p) => Self::Pad {
                before: &p.before,
                between: &p.between,
                after: &p.after,
            },
            Op::Concat(p) => Self::Concat(p.axis),
            Op::Reverse(p) => Self::Reverse(&p.axes),
            Op::ReduceSum(p) => Self::Sum(&p.axes),
            Op::ReduceMax(p) => Self::Max(&p.axes),
            Op::CumulativeSum(p) => Self::CumulativeSum {
                axis: p.axis,
                from_end: p.from_end,
            },
            Op::MatMul(_) => Self::MatMul,
            Op::Convolution(p) if p.role == Role::Output => Self::Convolution(p.geometry),
            Op::Convolution(_) => Self::ConvolutionAdjoint,
            Op::Gather(p) => Self::Gather(p.batch),
            Op::ScatterAdd(p) => Self::ScatterAdd(p.batch),
            Op::WindowArgmax(p) => Self::WindowArgmax(p.windows),
            Op::Random(p) => Self::Random(p.stream),
            Op::Scan(p) => Self::Scan {
                body: &p.body,
                length: p.length,
                consts: p.consts,
                carries: p.carries,
                sums: p.sums,
                from_end: p.from_end,
            },
        }
    }
}

impl Program {
    /// The equations, in an order in which they can be computed.
    ///
    /// ```
    /// use quadric_autodiff::{Operation, Program};
    ///
    /// let program = Program::trace(|t| vec![t.input("x", [3]).sum_all()])?;
    /// let steps: Vec<_> = program.steps().collect();
    /// assert_eq!(steps[0].operation, Operation::Sum(&[0]));
    /// assert_eq!(steps[0].arguments, program.input_values());
    /// assert_eq!(steps[0].results, program.output_values());
    /// # Ok::<(), quadric_linalg::Error>(())
    /// ```
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let numbers = |vars: &[Var]| vars.iter().map(|v| v.index()).collect();
        self.equations.iter().map(move |e| Step {
            operation: Operation::of(&e.op),
            name: e.op.name(),
            arguments: numbers(&e.args),
            results: numbers(&e.results),
        })
    }

    /// The numbers of the inputs.
    pub fn input_values(&self) -> Vec<usize> {
        self.inputs.iter().map(|i| i.var.index()).collect()
    }

    /// The numbers of the outputs.
    pub fn output_values(&self) -> Vec<usize> {
        self.outputs.iter().map(|v| v.index()).collect()
    }

    /// Kind and shape of a value.
    ///
    /// # Panics
    ///
    /// If the program has no value of this number.
    pub fn type_of(&self, value: usize) -> &Type {
        &self.types[value]
    }
}
