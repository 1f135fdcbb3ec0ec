//! The same entries, repeated, renamed, moved, cut out or joined. All are linear.

use super::{
    Evaluated, Primitive, ReduceSum, Site, Tangents, Types, arity, batched_everywhere, floats, one,
    same, single,
};
use crate::array::{Array, Operand, Positions, collect};
use crate::graph::Vars;
use crate::types::{Shape, Type, Var, row_major, with_leading};
use quadric_linalg::Scalar;
use smallvec::SmallVec;

fn unary_batch(site: &mut Site<'_>, op: impl Into<super::Op>) -> Vars {
    std::iter::once(site.graph.emit(op, site.args)).collect()
}

/// Repetition along new axes: axis i of the argument becomes axis `axes[i]` of `shape`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Broadcast {
    pub(crate) shape: Shape,
    pub(crate) axes: Shape,
}

impl Broadcast {
    /// Steps in memory of the result, given those of the argument.
    pub(crate) fn strides(&self, of: &[isize]) -> SmallVec<[isize; 6]> {
        let stride = |axis| {
            self.axes
                .iter()
                .position(|&a| a == axis)
                .map_or(0, |i| of[i])
        };
        (0..self.shape.len()).map(stride).collect()
    }
}

impl Primitive for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [x] = arity(args)?;
        let fits = x.rank() == self.axes.len()
            && self.axes.is_sorted_by(|a, b| a < b)
            && self
                .axes
                .iter()
                .zip(&x.shape)
                .all(|(&a, n)| self.shape.get(a) == Some(n));
        if !fits {
            let (axes, shape) = (self.axes.as_slice(), self.shape.as_slice());
            return Err(format!("{x} cannot be the axes {axes:?} of {shape:?}"));
        }
        single(Type {
            kind: x.kind,
            shape: self.shape.clone(),
        })
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        let strides = self.strides(&row_major(args[0].shape));
        Ok(vec![collect(
            args[0].data,
            Positions::new(0, &self.shape, &strides),
        )])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        same(self, site, tangents[0])
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let new = (0..self.shape.len()).filter(|i| !self.axes.contains(i));
        let axes: Shape = new.collect();
        one(cotangents[0].map(|c| site.graph.emit(ReduceSum { axes }, &[c])))
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], size: usize) -> Vars {
        let axes = std::iter::once(0)
            .chain(self.axes.iter().map(|a| a + 1))
            .collect();
        let shape = with_leading(size, &self.shape);
        unary_batch(site, Self { shape, axes })
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}

/// The same entries in the same order, under another shape.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Reshape {
    pub(crate) shape: Shape,
}

impl Primitive for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [x] = arity(args)?;
        let t = Type {
            kind: x.kind,
            shape: self.shape.clone(),
        };
        if t.len() != x.len() {
            return Err(format!(
                "{x} has {} entries, {:?} has {}",
                x.len(),
                &t.shape[..],
                t.len()
            ));
        }
        single(t)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        Ok(vec![collect(args[0].data, 0..args[0].data.len())])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        same(self, site, tangents[0])
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let shape = Shape::from(site.graph.shape(site.args[0]));
        one(cotangents[0].map(|c| site.graph.reshape(c, &shape)))
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], size: usize) -> Vars {
        let shape = with_leading(size, &self.shape);
        unary_batch(site, Self { shape })
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}

/// Another order of the axes: axis i of the result is axis `axes[i]` of the argument.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Permute {
    pub(crate) axes: Shape,
}

impl Primitive for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [x] = arity(args)?;
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.rank()) {
            return Err(format!(
                "{:?} is no order of the axes of {x}",
                &self.axes[..]
            ));
        }
        single(Type {
            kind: x.kind,
            shape: self.axes.iter().map(|&a| x.shape[a]).collect(),
        })
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let own = row_major(args[0].shape);
        let strides: SmallVec<[isize; 6]> = self.axes.iter().map(|&a| own[a]).collect();
        Ok(vec![collect(
            args[0].data,
            Positions::new(0, &results[0].shape, &strides),
        )])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        same(self, site, tangents[0])
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let mut back = self.axes.clone();
        for (i, &axis) in self.axes.iter().enumerate() {
            back[axis] = i;
        }
        one(cotangents[0].map(|c| site.graph.permute(c, &back)))
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        let axes = std::iter::once(0)
            .chain(self.axes.iter().map(|a| a + 1))
            .collect();
        unary_batch(site, Self { axes })
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}

/// Along each axis `sizes[i]` entries, from `starts[i]` on, `steps[i]` apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Slice {
    pub(crate) starts: Shape,
    pub(crate) sizes: Shape,
    pub(crate) steps: Shape,
}

impl Slice {
    /// Position of the first entry and steps in memory of the result, given the steps of the argument.
    pub(crate) fn view(&self, of: &[isize]) -> (isize, SmallVec<[isize; 6]>) {
        let start = self
            .starts
            .iter()
            .zip(of)
            .map(|(&s, stride)| s as isize * stride);
        let strides = self
            .steps
            .iter()
            .zip(of)
            .map(|(&s, stride)| s as isize * stride);
        (start.sum(), strides.collect())
    }

    pub(crate) fn is_identity(&self, shape: &[usize]) -> bool {
        self.sizes.as_slice() == shape
    }
}

impl Primitive for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [x] = arity(args)?;
        let axes = [self.starts.len(), self.sizes.len(), self.steps.len()];
        if axes != [x.rank(); 3] {
            return Err(format!("{x} has {} axes, the slice has {axes:?}", x.rank()));
        }
        for (axis, &n) in x.shape.iter().enumerate() {
            let (start, size, step) = (self.starts[axis], self.sizes[axis], self.steps[axis]);
            let last = || (size - 1).checked_mul(step)?.checked_add(start);
            let fits = match size {
                0 => start <= n,
                _ => last().is_some_and(|last| last < n),
            };
            if step == 0 || !fits {
                return Err(format!(
                    "{size} entries from {start} on in steps of {step} do not fit in axis {axis} of {x}"
                ));
            }
        }
        single(Type {
            kind: x.kind,
            shape: self.sizes.clone(),
        })
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        let (start, strides) = self.view(&row_major(args[0].shape));
        Ok(vec![collect(
            args[0].data,
            Positions::new(start, &self.sizes, &strides),
        )])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        same(self, site, tangents[0])
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let shape = Shape::from(site.graph.shape(site.args[0]));
        let inner = self.steps.iter().map(|s| s - 1).collect();
        // What is left behind the last entry; an axis without entries is all left.
        let rest = shape
            .iter()
            .enumerate()
            .map(|(axis, &n)| match self.sizes[axis] {
                0 => n - self.starts[axis],
                size => n - self.starts[axis] - (size - 1) * self.steps[axis] - 1,
            });
        let pad = Pad {
            before: self.starts.clone(),
            between: inner,
            after: rest.collect(),
        };
        one(cotangents[0].map(|c| site.graph.emit(pad, &[c])))
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], size: usize) -> Vars {
        let op = Self {
            starts: with_leading(0, &self.starts),
            sizes: with_leading(size, &self.sizes),
            steps: with_leading(1, &self.steps),
        };
        unary_batch(site, op)
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}

/// Zeros before, between and after the entries along each axis.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pad {
    pub(crate) before: Shape,
    pub(crate) between: Shape,
    pub(crate) after: Shape,
}

impl Pad {
    pub(crate) fn is_identity(&self) -> bool {
        [&self.before, &self.between, &self.after]
            .iter()
            .all(|v| v.iter().all(|&n| n == 0))
    }

    /// The slice of the result that holds the entries of an argument.
    pub(crate) fn inside(&self, shape: &[usize]) -> Slice {
        Slice {
            starts: self.before.clone(),
            sizes: shape.into(),
            steps: self.between.iter().map(|n| n + 1).collect(),
        }
    }
}

impl Primitive for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [x] = arity(args)?;
        let axes = [self.before.len(), self.between.len(), self.after.len()];
        if axes != [x.rank(); 3] {
            return Err(format!(
                "{x} has {} axes, the padding has {axes:?}",
                x.rank()
            ));
        }
        let padded = x.shape.iter().enumerate().map(|(i, &n)| {
            let inner = n.saturating_add(n.saturating_sub(1).saturating_mul(self.between[i]));
            inner
                .saturating_add(self.before[i])
                .saturating_add(self.after[i])
        });
        single(Type::float(padded))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let mut out = vec![T::of(0.0); results[0].len()];
        let (start, strides) = self
            .inside(args[0].shape)
            .view(&row_major(&results[0].shape));
        let positions = Positions::new(start, args[0].shape, &strides);
        for (&v, at) in args[0].floats().iter().zip(positions) {
            out[at] = v;
        }
        Ok(vec![Array::Float(out)])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        same(self, site, tangents[0])
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let slice = self.inside(site.graph.shape(site.args[0]));
        one(cotangents[0].map(|c| site.graph.emit(slice, &[c])))
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        let op = Self {
            before: with_leading(0, &self.before),
            between: with_leading(0, &self.between),
            after: with_leading(0, &self.after),
        };
        unary_batch(site, op)
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}

/// The arguments one after another along an axis.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Concat {
    pub(crate) axis: usize,
}

impl Concat {
    /// The slice of the result that holds each argument.
    pub(crate) fn parts(&self, shapes: impl Iterator<Item = Shape>) -> Vec<Slice> {
        let mut start = 0;
        shapes
            .map(|sizes| {
                let mut starts: Shape = sizes.iter().map(|_| 0).collect();
                starts[self.axis] = start;
                start += sizes[self.axis];
                let steps = sizes.iter().map(|_| 1).collect();
                Slice {
                    starts,
                    sizes,
                    steps,
                }
            })
            .collect()
    }
}

impl Primitive for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let first = args.first().ok_or("takes at least one argument")?;
        if self.axis >= first.rank() {
            return Err(format!("{first} has no axis {}", self.axis));
        }
        let rest = |t: &Type| crate::types::without(&t.shape, &[self.axis]);
        if let Some(t) = args
            .iter()
            .find(|t| t.kind != first.kind || t.rank() != first.rank() || rest(t) != rest(first))
        {
            return Err(format!(
                "{first} and {t} cannot be joined along axis {}",
                self.axis
            ));
        }
        let mut t = (*first).clone();
        t.shape[self.axis] = args.iter().map(|t| t.shape[self.axis]).sum();
        single(t)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let mut out = Array::zeros(&results[0]);
        let strides = row_major(&results[0].shape);
        let parts = self.parts(args.iter().map(|a| a.shape.into()));
        for (part, arg) in parts.iter().zip(args) {
            let (start, strides) = part.view(&strides);
            let positions = Positions::new(start, &part.sizes, &strides);
            match &mut out {
                Array::Float(out) => positions.zip(arg.floats()).for_each(|(i, &v)| out[i] = v),
                Array::Index(out) => positions.zip(arg.indices()).for_each(|(i, &v)| out[i] = v),
            }
        }
        Ok(vec![out])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        if tangents.iter().all(Option::is_none) || !site.graph.is_float(site.results[0]) {
            return one(None);
        }
        let pairs = tangents.iter().zip(site.args);
        let parts: Vars = pairs.map(|(&t, &v)| site.graph.or_zeros(t, v)).collect();
        one(Some(site.graph.emit(self.clone(), &parts)))
    }

    fn transpose(
        &self,
        site: &mut Site<'_>,
        linear: &[bool],
        cotangents: &[Option<Var>],
    ) -> Tangents {
        let Some(c) = cotangents[0] else {
            return linear.iter().map(|_| None).collect();
        };
        let shapes: Vec<Shape> = site
            .args
            .iter()
            .map(|&v| site.graph.shape(v).into())
            .collect();
        let parts = self.parts(shapes.into_iter()).into_iter().zip(linear);
        parts
            .map(|(part, &l)| l.then(|| site.graph.emit(part, &[c])))
            .collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        let axis = self.axis + 1;
        batched_everywhere(Self { axis }, site, batched, size)
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}

/// The entries in opposite order along some axes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Reverse {
    pub(crate) axes: Shape,
}

impl Reverse {
    /// Position of the first entry and steps in memory of the result, given the shape and steps of the argument.
    pub(crate) fn view(&self, shape: &[usize], of: &[isize]) -> (isize, SmallVec<[isize; 6]>) {
        let mut strides: SmallVec<[isize; 6]> = of.into();
        let mut start = 0;
        for &axis in &self.axes {
            start += (shape[axis] as isize - 1) * of[axis];
            strides[axis] = -of[axis];
        }
        (start, strides)
    }
}

impl Primitive for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [x] = arity(args)?;
        if let Some(axis) = self.axes.iter().find(|&&a| a >= x.rank()) {
            return Err(format!("{x} has no axis {axis}"));
        }
        single(x)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        let shape = args[0].shape;
        let (start, strides) = self.view(shape, &row_major(shape));
        Ok(vec![collect(
            args[0].data,
            Positions::new(start, shape, &strides),
        )])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        same(self, site, tangents[0])
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        same(self, site, cotangents[0])
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        let axes = self.axes.iter().map(|a| a + 1).collect();
        unary_batch(site, Self { axes })
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}
