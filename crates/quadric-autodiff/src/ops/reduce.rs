//! Sums, largest entries and running sums along axes.

use super::{
    Binary, Evaluated, Primitive, Site, Tangents, Types, arity, floats, one, same, single,
};
use crate::array::{Array, Operand, Positions};
use crate::graph::Vars;
use crate::types::{Shape, Type, Var, row_major, without};
use quadric_linalg::Scalar;
use smallvec::SmallVec;

/// Where in the result each entry of an array of `shape` goes, if `axes` are reduced.
fn targets(shape: &[usize], axes: &[usize]) -> SmallVec<[isize; 6]> {
    let mut own = row_major(&without(shape, axes)).into_iter();
    let stride = |axis: usize| {
        if axes.contains(&axis) {
            0
        } else {
            own.next().unwrap_or(0)
        }
    };
    (0..shape.len()).map(stride).collect()
}

fn infer_reduced(axes: &[usize], args: &[&Type]) -> Result<Types, String> {
    floats(args)?;
    let [x] = arity(args)?;
    if !axes.is_sorted_by(|a, b| a < b) || axes.last().is_some_and(|&a| a >= x.rank()) {
        return Err(format!("{axes:?} are not different axes of {x}"));
    }
    single(Type::float(without(&x.shape, axes)))
}

fn shifted(axes: &[usize]) -> Shape {
    axes.iter().map(|a| a + 1).collect()
}

/// The sum along some axes, which vanish.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ReduceSum {
    pub(crate) axes: Shape,
}

impl Primitive for ReduceSum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        infer_reduced(&self.axes, args)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let mut sums = vec![0.0; results[0].len()];
        let strides = targets(args[0].shape, &self.axes);
        let positions = Positions::new(0, args[0].shape, &strides);
        for (v, at) in args[0].floats().iter().zip(positions) {
            sums[at] += v.to_f64();
        }
        Ok(vec![Array::Float(sums.into_iter().map(T::of).collect())])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        same(self, site, tangents[0])
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let shape = Shape::from(site.graph.shape(site.args[0]));
        one(cotangents[0].map(|c| site.graph.spread(c, &shape, &self.axes)))
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        let axes = shifted(&self.axes);
        std::iter::once(site.graph.sum(site.args[0], &axes)).collect()
    }

    fn flops(&self, args: &[&Type], _: &[Type]) -> u64 {
        args[0].len() as u64
    }
}

/// The largest entry along some axes, which vanish; NaN if one of the entries is. The derivative is shared equally among
/// equal largest entries.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ReduceMax {
    pub(crate) axes: Shape,
}

impl Primitive for ReduceMax {
    fn name(&self) -> &'static str {
        "max_along"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let results = infer_reduced(&self.axes, args)?;
        let count: usize = self.axes.iter().map(|&a| args[0].shape[a]).product();
        if count == 0 {
            return Err(format!(
                "no entry of {} is the largest along {:?}",
                args[0],
                &self.axes[..]
            ));
        }
        Ok(results)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let mut most = vec![T::of(f64::NEG_INFINITY); results[0].len()];
        let strides = targets(args[0].shape, &self.axes);
        let positions = Positions::new(0, args[0].shape, &strides);
        for (&v, at) in args[0].floats().iter().zip(positions) {
            if v > most[at] || v.to_f64().is_nan() {
                most[at] = v;
            }
        }
        Ok(vec![Array::Float(most)])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let g = &mut *site.graph;
        let Some(t) = tangents[0] else {
            return one(None);
        };
        let x = site.args[0];
        let shape = Shape::from(g.shape(x));
        let most = g.spread(site.results[0], &shape, &self.axes);
        let is_most = g.emit(Binary::Equal, &[x, most]);
        let count = g.sum(is_most, &self.axes);
        let along = g.mul(is_most, t);
        let total = g.sum(along, &self.axes);
        one(Some(g.div(total, count)))
    }

    fn transpose(&self, _: &mut Site<'_>, _: &[bool], _: &[Option<Var>]) -> Tangents {
        unreachable!("{} is not linear", self.name())
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        let axes = shifted(&self.axes);
        std::iter::once(site.graph.emit(Self { axes }, site.args)).collect()
    }

    fn flops(&self, args: &[&Type], _: &[Type]) -> u64 {
        args[0].len() as u64
    }
}

/// At each entry the sum of all entries up to it along an axis, or from it on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct CumulativeSum {
    pub(crate) axis: usize,
    pub(crate) from_end: bool,
}

impl Primitive for CumulativeSum {
    fn name(&self) -> &'static str {
        "cumulative_sum"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [x] = arity(args)?;
        if self.axis >= x.rank() {
            return Err(format!("{x} has no axis {}", self.axis));
        }
        single(x)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        let (shape, x) = (args[0].shape, args[0].floats());
        let mut out = x.to_vec();
        let (n, stride) = (shape[self.axis], row_major(shape)[self.axis] as usize);
        let starts = (0..x.len()).filter(|i| (i / stride).is_multiple_of(n.max(1)));
        for start in starts {
            let mut sum = 0.0;
            for step in 0..n {
                let at = if self.from_end { n - 1 - step } else { step };
                sum += x[start + at * stride].to_f64();
                out[start + at * stride] = T::of(sum);
            }
        }
        Ok(vec![Array::Float(out)])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        same(self, site, tangents[0])
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        let back = Self {
            axis: self.axis,
            from_end: !self.from_end,
        };
        same(&back, site, cotangents[0])
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        let op = Self {
            axis: self.axis + 1,
            from_end: self.from_end,
        };
        std::iter::once(site.graph.emit(op, site.args)).collect()
    }

    fn flops(&self, args: &[&Type], _: &[Type]) -> u64 {
        args[0].len() as u64
    }
}
