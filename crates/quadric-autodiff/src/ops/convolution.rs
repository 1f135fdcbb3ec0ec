//! Convolution of images, and the two products that are linear in the same way: three faces of one trilinear form.

use super::product::bilinear;
use super::{
    Evaluated, Primitive, Site, Tangents, Types, arity, batched_everywhere, floats, single,
};
use crate::array::{Array, Operand};
use crate::graph::Vars;
use crate::types::{Shape, Type, Var};
use quadric_linalg::Scalar;
pub(crate) use quadric_linalg::convolution::Geometry;

/// Which of the three arrays of the form `Σ output input kernel` is the result; the arguments are the two others, in the
/// order output, input, kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Role {
    /// `input (n, h, w, in)` and `kernel (kh, kw, in / groups, out)` give `output (n, oh, ow, out)`.
    Output,
    /// `output` and `kernel` give `input`: how gradients flow back.
    Input,
    /// `output` and `input` give `kernel`.
    Kernel,
}

/// A convolution with any number of axes in front, common to all arrays: as many convolutions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Convolution {
    pub(crate) role: Role,
    pub(crate) geometry: Geometry,
}

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Number of convolutions.
    pub(crate) batch: usize,
    pub(crate) images: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Convolution {
    fn with(&self, role: Role) -> Self {
        let geometry = self.geometry;
        Self { role, geometry }
    }

    /// The shapes of output, input and kernel, from those of the arguments and the result.
    fn three<'a>(&self, a: &'a [usize], b: &'a [usize], c: &'a [usize]) -> [&'a [usize]; 3] {
        match self.role {
            Role::Output => [c, a, b],
            Role::Input => [a, c, b],
            Role::Kernel => [a, b, c],
        }
    }

    pub(crate) fn sizes(&self, a: &[usize], b: &[usize], result: &[usize]) -> Sizes {
        let [output, input, _] = self.three(a, b, result);
        let front = output.len() - 4;
        Sizes {
            batch: output[..front].iter().product(),
            images: output[front],
            inputs: input[front + 3],
            outputs: output[front + 3],
            height: output[front + 1],
            width: output[front + 2],
        }
    }

    fn infer_shape(&self, a: &[usize], b: &[usize]) -> Option<Shape> {
        let g = &self.geometry;
        let front = a.len().checked_sub(4)?;
        let (oh, ow) = (g.output(0)?, g.output(1)?);
        let ends = |s: &[usize], h: usize, w: usize| s[front + 1] == h && s[front + 2] == w;
        let image = |s: &[usize]| ends(s, g.input[0], g.input[1]);
        let output = |s: &[usize]| ends(s, oh, ow);
        let kernel = |s: &[usize]| s[front] == g.kernel[0] && s[front + 1] == g.kernel[1];
        let channels = |s: &[usize]| s[front + 3];
        let inputs = |kernel: &[usize]| kernel[front + 2].checked_mul(g.groups);
        let fits = a.len() == b.len() && a[..front] == b[..front];
        let tail: [usize; 4] = match self.role {
            _ if !fits => return None,
            Role::Output => {
                let fits = image(a) && kernel(b) && Some(channels(a)) == inputs(b);
                let fits = fits && channels(b).is_multiple_of(g.groups);
                fits.then(|| [a[front], oh, ow, channels(b)])?
            }
            Role::Input => {
                let fits = output(a) && kernel(b) && channels(a) == channels(b);
                let inputs = inputs(b).filter(|_| fits)?;
                [a[front], g.input[0], g.input[1], inputs]
            }
            Role::Kernel => {
                let fits = output(a) && image(b) && a[front] == b[front];
                let inputs = channels(b) / g.groups;
                fits.then(|| [g.kernel[0], g.kernel[1], inputs, channels(a)])?
            }
        };
        Some(a[..front].iter().copied().chain(tail).collect())
    }

    /// Calls `f(output, input, kernel)` with the positions of all triples that the form sums over.
    fn triples(&self, s: Sizes, mut f: impl FnMut(usize, usize, usize)) {
        let g = self.geometry;
        let (ins, outs) = (s.inputs / g.groups, s.outputs / g.groups);
        let window = g.kernel[0] * g.kernel[1];
        for place in 0..s.batch * s.images * s.height * s.width * window {
            let (spot, k) = (place / window, place % window);
            let (ky, kx) = (k / g.kernel[1], k % g.kernel[1]);
            let (image, oy, ox) = (
                spot / (s.height * s.width),
                spot / s.width % s.height,
                spot % s.width,
            );
            let (Some(y), Some(x)) = (g.at(0, oy, ky), g.at(1, ox, kx)) else {
                continue;
            };
            let pixel = ((image * g.input[0] + y) * g.input[1] + x) * s.inputs;
            let kernel = (image / s.images * window + k) * ins;
            for group in 0..g.groups {
                for (i, o) in (0..ins).flat_map(|i| (0..outs).map(move |o| (i, o))) {
                    let o = group * outs + o;
                    let input = pixel + group * ins + i;
                    f(spot * s.outputs + o, input, (kernel + i) * s.outputs + o);
                }
            }
        }
    }
}

impl Primitive for Convolution {
    fn name(&self) -> &'static str {
        match self.role {
            Role::Output => "convolution",
            Role::Input => "convolution_input",
            Role::Kernel => "convolution_kernel",
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [a, b] = arity(args)?;
        let Some(shape) = self.infer_shape(&a.shape, &b.shape) else {
            return Err(format!("{a} and {b} do not fit {:?}", self.geometry));
        };
        let [output, input, _] = self.three(&a.shape, &b.shape, &shape);
        let channels = output.last().max(input.last()).copied().unwrap_or(0);
        if !self.geometry.is_addressable(channels) {
            return Err(format!("{:?} reaches beyond any memory", self.geometry));
        }
        single(Type::float(shape))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], results: &[Type]) -> Evaluated<T> {
        let (a, b) = (args[0].floats(), args[1].floats());
        let sizes = self.sizes(args[0].shape, args[1].shape, &results[0].shape);
        let mut sums = vec![0.0; results[0].len()];
        self.triples(sizes, |output, input, kernel| {
            let (to, u, v) = match self.role {
                Role::Output => (output, a[input], b[kernel]),
                Role::Input => (input, a[output], b[kernel]),
                Role::Kernel => (kernel, a[output], b[input]),
            };
            sums[to] += u.to_f64() * v.to_f64();
        });
        Ok(vec![Array::Float(sums.into_iter().map(T::of).collect())])
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
        // The array of each argument is what the form gives from the two others.
        let (first, second) = match self.role {
            Role::Output => ((Role::Input, [c, b]), (Role::Kernel, [c, a])),
            Role::Input => ((Role::Output, [c, b]), (Role::Kernel, [a, c])),
            Role::Kernel => ((Role::Output, [b, c]), (Role::Input, [a, c])),
        };
        let ca = linear[0].then(|| g.emit(self.with(first.0), &first.1));
        let cb = linear[1].then(|| g.emit(self.with(second.0), &second.1));
        [ca, cb].into_iter().collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        batched_everywhere(*self, site, batched, size)
    }

    fn flops(&self, args: &[&Type], results: &[Type]) -> u64 {
        let s = self.sizes(&args[0].shape, &args[1].shape, &results[0].shape);
        let [kh, kw] = self.geometry.kernel;
        let inputs = s.inputs / self.geometry.groups;
        let factors = [
            s.batch, s.images, s.height, s.width, kh, kw, inputs, s.outputs,
        ];
        let product = |n: u64, &m: &usize| n.saturating_mul(m as u64);
        factors.iter().fold(2, product)
    }
}
