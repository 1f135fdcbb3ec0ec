//! Functions of one entry at a time. All arguments have the same shape; the tracer repeats what has fewer axes.

use super::{
    Evaluated, Primitive, Site, Tangents, Types, arity, batched_everywhere, floats, one, single,
};
use crate::array::{Array, Data, Operand};
use crate::graph::{Graph, Vars};
use crate::types::{Kind, Type, Var};
use quadric_linalg::Scalar;
pub(crate) use quadric_linalg::elementwise::{Binary, Unary};

/// The derivative of f at x, where the function is y; none where it is zero everywhere.
fn slope(f: Unary, g: &mut Graph, x: Var, y: Var) -> Option<Var> {
    Some(match f {
        Unary::Neg => g.fill_like(-1.0, x),
        Unary::Abs => g.unary(Unary::Sign, x),
        Unary::Sign | Unary::Floor => return None,
        Unary::Exp => y,
        Unary::Log => {
            let one = g.fill_like(1.0, x);
            g.div(one, x)
        }
        Unary::Log1p => {
            let one = g.fill_like(1.0, x);
            let denominator = g.add(one, x);
            g.div(one, denominator)
        }
        Unary::Sqrt => {
            let half = g.fill_like(0.5, x);
            g.div(half, y)
        }
        Unary::Sin => g.unary(Unary::Cos, x),
        Unary::Cos => {
            let sine = g.unary(Unary::Sin, x);
            g.neg(sine)
        }
        Unary::Atan => {
            let (one, square) = (g.fill_like(1.0, x), g.mul(x, x));
            let denominator = g.add(one, square);
            g.div(one, denominator)
        }
        Unary::Tanh => {
            let (one, square) = (g.fill_like(1.0, x), g.mul(y, y));
            g.sub(one, square)
        }
        Unary::Sigmoid => {
            let one = g.fill_like(1.0, x);
            let rest = g.sub(one, y);
            g.mul(y, rest)
        }
        Unary::Softplus => g.unary(Unary::Sigmoid, x),
        Unary::Erf => {
            let square = g.mul(x, x);
            let minus = g.neg(square);
            let density = g.unary(Unary::Exp, minus);
            g.scale(density, std::f64::consts::FRAC_2_SQRT_PI)
        }
        Unary::Power(bits) => {
            let exponent = f64::from_bits(bits);
            if exponent == 0.0 {
                return None;
            }
            let lower = match exponent - 1.0 {
                0.0 => g.fill_like(1.0, x),
                1.0 => x,
                e => g.unary(Unary::power(e), x),
            };
            g.scale(lower, exponent)
        }
    })
}

impl Primitive for Unary {
    fn name(&self) -> &'static str {
        match self {
            Self::Neg => "neg",
            Self::Abs => "abs",
            Self::Sign => "sign",
            Self::Floor => "floor",
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Log1p => "log1p",
            Self::Sqrt => "sqrt",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Atan => "atan",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
            Self::Erf => "erf",
            Self::Power(_) => "power",
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [x] = arity(args)?;
        single(x)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        let x = args[0].floats().iter();
        Ok(vec![Array::Float(
            x.map(|v| T::of(self.apply(v.to_f64()))).collect(),
        )])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let g = &mut *site.graph;
        let Some(t) = tangents[0] else {
            return one(None);
        };
        let slope = slope(*self, g, site.args[0], site.results[0]);
        one(slope.map(|s| g.mul(s, t)))
    }

    fn transpose(&self, site: &mut Site<'_>, _: &[bool], cotangents: &[Option<Var>]) -> Tangents {
        match self {
            Self::Neg => one(cotangents[0].map(|c| site.graph.neg(c))),
            _ => unreachable!("{} is not linear", self.name()),
        }
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        std::iter::once(site.graph.unary(*self, site.args[0])).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}

/// For the larger or smaller of two numbers: 1 where `a` is the result, 0 where `b` is, 1/2 where both are.
fn share(f: Binary, g: &mut Graph, a: Var, b: Var) -> Var {
    let (lower, upper) = if f == Binary::Max { (b, a) } else { (a, b) };
    let (one, half) = (g.fill_like(1.0, a), g.fill_like(0.5, a));
    let zero = g.fill_like(0.0, a);
    let tie = g.emit(Binary::Equal, &[a, b]);
    let wins = g.emit(Binary::Less, &[lower, upper]);
    let rest = g.emit(Select, &[wins, one, zero]);
    g.emit(Select, &[tie, half, rest])
}

fn is_comparison(f: Binary) -> bool {
    matches!(f, Binary::Equal | Binary::Less | Binary::LessEqual)
}

impl Primitive for Binary {
    fn name(&self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Max => "max",
            Self::Min => "min",
            Self::Equal => "equal",
            Self::Less => "less",
            Self::LessEqual => "less_equal",
        }
    }

    /// Indices can be compared, too.
    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [a, b] = arity(args)?;
        if !is_comparison(*self) {
            floats(args)?;
        } else if a.kind != b.kind {
            return Err(format!("cannot compare {a} with {b}"));
        }
        if a.shape != b.shape {
            return Err(format!(
                "shapes {:?} and {:?} differ",
                &a.shape[..],
                &b.shape[..]
            ));
        }
        single(Type::float(a.shape))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        let results = match (args[0].data, args[1].data) {
            (Data::Float(a), Data::Float(b)) => {
                let pairs = a.iter().zip(b);
                let results = pairs.map(|(a, b)| self.apply(a.to_f64(), b.to_f64()));
                results.map(T::of).collect()
            }
            (Data::Index(a), Data::Index(b)) => {
                let pairs = a.iter().zip(b);
                let results = pairs.map(|(&a, &b)| self.apply(f64::from(a), f64::from(b)));
                results.map(T::of).collect()
            }
            _ => unreachable!("type inference compares like with like"),
        };
        Ok(vec![Array::Float(results)])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let g = &mut *site.graph;
        let (a, b) = (site.args[0], site.args[1]);
        let (da, db) = (tangents[0], tangents[1]);
        one(match self {
            Self::Add => g.add_any(da, db),
            Self::Sub => match (da, db) {
                (Some(da), Some(db)) => Some(g.sub(da, db)),
                (da, db) => da.or_else(|| db.map(|db| g.neg(db))),
            },
            Self::Mul => {
                let (u, v) = (da.map(|t| g.mul(t, b)), db.map(|t| g.mul(a, t)));
                g.add_any(u, v)
            }
            Self::Div => {
                let falls = db.map(|t| g.mul(site.results[0], t));
                let top = match (da, falls) {
                    (Some(da), Some(f)) => Some(g.sub(da, f)),
                    (da, f) => da.or_else(|| f.map(|f| g.neg(f))),
                };
                top.map(|t| g.div(t, b))
            }
            Self::Max | Self::Min => {
                let share = share(*self, g, a, b);
                let ones = g.fill_like(1.0, a);
                let rest = g.sub(ones, share);
                let (u, v) = (da.map(|t| g.mul(share, t)), db.map(|t| g.mul(rest, t)));
                g.add_any(u, v)
            }
            Self::Equal | Self::Less | Self::LessEqual => None,
        })
    }

    fn transpose(
        &self,
        site: &mut Site<'_>,
        linear: &[bool],
        cotangents: &[Option<Var>],
    ) -> Tangents {
        let g = &mut *site.graph;
        let (a, b) = (site.args[0], site.args[1]);
        let Some(c) = cotangents[0] else {
            return [None, None].into_iter().collect();
        };
        let (ca, cb) = match self {
            Self::Add => (Some(c), Some(c)),
            Self::Sub => (Some(c), linear[1].then(|| g.neg(c))),
            Self::Mul if linear[0] => (Some(g.mul(c, b)), None),
            Self::Mul => (None, Some(g.mul(a, c))),
            Self::Div => (Some(g.div(c, b)), None),
            _ => unreachable!("{} is not linear", self.name()),
        };
        [ca.filter(|_| linear[0]), cb.filter(|_| linear[1])]
            .into_iter()
            .collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        batched_everywhere(*self, site, batched, size)
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}

/// The second argument where the first is not zero, else the third.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Select;

impl Primitive for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        floats(args)?;
        let [mask, a, b] = arity(args)?;
        if mask != a || a != b {
            let shapes = [&mask, &a, &b].map(|t| t.shape.to_vec());
            return Err(format!("shapes {shapes:?} differ"));
        }
        single(a)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        let [mask, a, b] = [0, 1, 2].map(|i| args[i].floats());
        let choose = |i: usize| if mask[i].to_f64() != 0.0 { a[i] } else { b[i] };
        Ok(vec![Array::Float((0..mask.len()).map(choose).collect())])
    }

    fn jvp(&self, site: &mut Site<'_>, tangents: &[Option<Var>]) -> Tangents {
        let g = &mut *site.graph;
        let mask = site.args[0];
        one(match (tangents[1], tangents[2]) {
            (None, None) => None,
            (a, b) => {
                let (a, b) = (g.or_zeros(a, mask), g.or_zeros(b, mask));
                Some(g.emit(Select, &[mask, a, b]))
            }
        })
    }

    fn transpose(
        &self,
        site: &mut Site<'_>,
        linear: &[bool],
        cotangents: &[Option<Var>],
    ) -> Tangents {
        let (g, mask) = (&mut *site.graph, site.args[0]);
        let Some(c) = cotangents[0] else {
            return [None; 3].into_iter().collect();
        };
        let zero = g.fill_like(0.0, c);
        let a = linear[1].then(|| g.emit(Select, &[mask, c, zero]));
        let b = linear[2].then(|| g.emit(Select, &[mask, zero, c]));
        [None, a, b].into_iter().collect()
    }

    fn batch(&self, site: &mut Site<'_>, batched: &[bool], size: usize) -> Vars {
        batched_everywhere(Select, site, batched, size)
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}

/// Indices as real numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Real;

impl Primitive for Real {
    fn name(&self) -> &'static str {
        "real"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [x] = arity(args)?;
        if x.kind != Kind::Index {
            return Err(format!("takes indices, not {x}"));
        }
        single(Type::float(x.shape))
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        let x = args[0].indices().iter();
        Ok(vec![Array::Float(
            x.map(|&v| T::of(f64::from(v))).collect(),
        )])
    }

    fn jvp(&self, _: &mut Site<'_>, _: &[Option<Var>]) -> Tangents {
        one(None)
    }

    fn transpose(&self, _: &mut Site<'_>, _: &[bool], _: &[Option<Var>]) -> Tangents {
        unreachable!("indices carry no cotangents")
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        std::iter::once(site.graph.emit(Real, site.args)).collect()
    }

    fn flops(&self, _: &[&Type], results: &[Type]) -> u64 {
        results[0].len() as u64
    }
}

/// The value, without its derivatives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Detach;

impl Primitive for Detach {
    fn name(&self) -> &'static str {
        "detach"
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, String> {
        let [x] = arity(args)?;
        single(x)
    }

    fn eval<T: Scalar>(&self, args: &[Operand<'_, T>], _: &[Type]) -> Evaluated<T> {
        Ok(vec![crate::interpret::copy(args[0].data)])
    }

    fn jvp(&self, _: &mut Site<'_>, _: &[Option<Var>]) -> Tangents {
        one(None)
    }

    fn transpose(&self, _: &mut Site<'_>, _: &[bool], _: &[Option<Var>]) -> Tangents {
        unreachable!("{} has no tangents", self.name())
    }

    fn batch(&self, site: &mut Site<'_>, _: &[bool], _: usize) -> Vars {
        std::iter::once(site.graph.emit(Detach, site.args)).collect()
    }

    fn flops(&self, _: &[&Type], _: &[Type]) -> u64 {
        0
    }
}
