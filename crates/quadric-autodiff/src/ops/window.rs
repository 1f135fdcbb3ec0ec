//! Where the largest entry of each window of an image is: max-pooling is a gather at these positions.

use super::{Evaluated, Primitive, Site, Tangents, Types, arity, floats, one, single};
use crate::array::{Array, Operand};
use crate::graph::Vars;
use crate::types::{Shape, Type, Var};
use quadric_linalg::Scalar;

/// `(.., n, h, w, c)` gives indices `(.., n, oh, ow, c)`: positions in the flat array of the last four axes. The first of equal
/// entries is taken, and NaN before any number. Padding is never taken; windows that hold nothing else are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct WindowArgmax {
    /// The windows; their `groups` has no meaning here.
    pub(crate) windows: super::Geometry,
}

impl Primitive for WindowArgmax {
    fn name(&self) -> &'static str {
        "window_argmax"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [x] = arity(args)?;
        let g = &self.windows;
        let wrong = || format!("{x} does not fit {g:?}");
        let front = x.rank().checked_sub(4).ok_or_else(wrong)?;
        // A window that lies in the padding has no largest entry, nor has one whose entries pass on both sides of the image.
        let narrow = (0..2).any(|i| {
            let passes = g.padding[0][i] > 0 && g.dilation[i] > g.input[i];
            passes || g.padding.iter().any(|p| p[i] >= g.kernel[i])
        });
        if x.shape[front + 1..front + 3] != g.input || narrow {
            return Err(wrong());
        }
        let tail = Type::float(x.shape[front..].iter().copied());
        if tail.len() > i32::MAX as usize || !g.is_addressable(tail.shape[3]) {
            return Err(format!("positions in {tail} by {g:?} are no indices"));
        }
        let mut shape: Shape = x.shape.clone();
        for axis in 0..2 {
            shape[front + 1 + axis] = g.output(axis).ok_or_else(wrong)?;
        }
        single(Type::index(shape))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let (g, x) = (self.windows, args[0].floats());
        let front = args[0].shape.len() - 4;
        let shape = &results[0].shape[front..];
        let (images, height, width, channels) = (shape[0], shape[1], shape[2], shape[3]);
        let block = images * g.input[0] * g.input[1] * channels;
        let find = |at: usize| {
            let (c, ox, oy) = (
                at % channels,
                at / channels % width,
                at / channels / width % height,
            );
            let image = at / (channels * width * height);
            let window = (0..g.kernel[0]).flat_map(|ky| (0..g.kernel[1]).map(move |kx| (ky, kx)));
            let mut best: Option<usize> = None;
            for (ky, kx) in window {
                let (Some(y), Some(x_at)) = (g.at(0, oy, ky), g.at(1, ox, kx)) else {
                    continue;
                };
                let here = ((image * g.input[0] + y) * g.input[1] + x_at) * channels + c;
                let is_nan = |i: usize| x[i].to_f64().is_nan();
                let wins = |b: usize| x[here] > x[b] || (is_nan(here) && !is_nan(b));
                if best.is_none_or(wins) {
                    best = Some(here);
                }
            }
            best.map_or(-1, |b| (b % block) as i32)
        };
        Ok(vec![Array::Index(
            (0..results[0].len()).map(find).collect(),
        )])
    }

    fn jvp(&self, _: &mut Site<'_>, _: &[Option<Var>]) -> Tangents {
        one(None)
    }

    fn transpose(&self, _: &mut Site<'_>, _: &[bool], _: &[Option<Var>]) -> Tangents {
        unreachable!("{} is not linear", self.name())
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        std::iter::once(site.graph.emit(*self, site.args)).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        let kernel = self.windows.kernel.map(|n| n as u64);
        let count = results[0].len() as u64;
        count.saturating_mul(kernel[0]).saturating_mul(kernel[1])
    }
}
