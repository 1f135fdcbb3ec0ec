//! What must hold for the program of any bytes.

use super::generate::{Generated, generate};
use super::{Flat, assert_close, check_block, dot, join, normals, weighted};
use quadric_autodiff::{Array, Data, Executable, Program};
use quadric_linalg::ErrorKind;

const NAMES: [&str; 2] = ["x0", "x1"];

/// Values beyond it grow too fast for differences; derivatives are only computed, then.
const LARGE: f64 = 20.0;

/// Relative to the largest entry, or to 1: for two ways to compute the same, and against differences.
const SAME: f64 = 1e-9;
const DIFFERENCE: f64 = 2e-5;

/// Traces the program of some bytes and checks it: compiled against plain, tangents against differences where it is smooth,
/// adjoints against tangents, symmetry, several points and directions at once against one.
pub(crate) fn check_bytes(bytes: &[u8]) {
    let (mut detached, mut too_large) = (false, false);
    let all = Program::trace(|t| {
        let g = generate(t, bytes);
        (detached, too_large) = (g.detached, g.too_large);
        g.values
    });
    let all = match all {
        Ok(all) => all,
        Err(e) => return assert!(e.to_string().contains("generate.rs:"), "{e}"),
    };
    if too_large {
        return;
    }
    let trace = |scalar: bool| {
        let program = Program::trace(|t| {
            let Generated { values, .. } = generate(t, bytes);
            let last = [values[values.len() - 1], values[values.len() / 2]];
            if scalar {
                vec![weighted(t, &last, 1)]
            } else {
                last.to_vec()
            }
        });
        program.expect("it was traced before")
    };
    let function = Flat::new(trace(false), SAME);
    let x = normals(1, "point", function.sizes.iter().sum());
    let x: Vec<f64> = x.iter().map(|x| 0.6 * x).collect();
    let checks = Checks {
        all,
        function,
        loss: trace(true),
        x,
        smooth: !detached,
    };
    if checks.is_refused() {
        return;
    }
    if !checks.is_small(&checks.x) {
        return checks.compute();
    }
    checks.first();
    checks.second();
}

struct Checks {
    /// Every value is an output.
    all: Program,
    function: Flat,
    loss: Program,
    x: Vec<f64>,
    smooth: bool,
}

/// Central differences of `f` along `v` where two steps give the same, and the function has neither jump nor kink.
fn slope(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], v: &[f64]) -> Option<Vec<f64>> {
    let moved =
        |h: f64| -> Vec<f64> { f(&x.iter().zip(v).map(|(x, v)| x + h * v).collect::<Vec<_>>()) };
    let (h, here) = (1e-5, f(x));
    let (up, down, farther, back) = (moved(h), moved(-h), moved(2.0 * h), moved(-2.0 * h));
    let slopes: Vec<f64> = (0..here.len())
        .map(|i| (up[i] - down[i]) / (2.0 * h))
        .collect();
    let most = [&here, &slopes].into_iter().flatten();
    let most = most.fold(1.0, |m: f64, v| m.max(v.abs()));
    let smooth = (0..here.len()).all(|i| {
        let wide = (farther[i] - back[i]) / (4.0 * h);
        let bends = [(up[i], down[i]), (farther[i], back[i])].map(|(u, d)| u + d - 2.0 * here[i]);
        (wide - slopes[i]).abs() <= 0.1 * DIFFERENCE * most
            && bends.iter().all(|b| b.abs() <= 1e-3 * h * most)
    });
    smooth.then_some(slopes)
}

impl Checks {
    fn inputs<'a>(&self, x: &'a [f64]) -> [Data<'a, f64>; 2] {
        let cut = x.split_at(self.function.sizes[0]);
        [Data::Float(cut.0), Data::Float(cut.1)]
    }

    /// True if an index names no row; then it is refused both ways.
    fn is_refused(&self) -> bool {
        let inputs = self.inputs(&self.x);
        let Err(e) = self.all.run::<f64>(&inputs) else {
            return false;
        };
        let mut outputs: Vec<Vec<f64>> = (0..self.all.outputs())
            .map(|i| vec![0.0; self.all.output_type(i).len()])
            .collect();
        let mut slots: Vec<&mut [f64]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let mut compiled = Executable::new(&self.all).expect("real outputs");
        for found in [Err(e), compiled.run(&inputs, &mut slots)] {
            let e = found.expect_err("it was refused before");
            assert_eq!(e.kind(), ErrorKind::Data, "{e}");
            assert!(e.to_string().contains("names none of"), "{e}");
        }
        true
    }

    fn is_small(&self, x: &[f64]) -> bool {
        let inputs = self.inputs(x);
        let values = self.all.run::<f64>(&inputs).expect("inputs fit");
        let mut entries = values.iter().flat_map(Array::floats);
        entries.all(|v| v.abs() <= LARGE)
    }

    /// Nothing is known about the numbers, but they are computed.
    fn compute(&self) {
        let gradient = self.loss.grad(&NAMES).expect("a single number");
        let product = gradient.linearize(&NAMES).expect("names of inputs");
        let wide = self
            .function
            .program
            .batch(&NAMES, 2)
            .expect("names of inputs");
        for program in [gradient, product, wide] {
            let flat = Flat::new(program, SAME);
            let n = flat.sizes.iter().sum::<usize>();
            let x: Vec<f64> = self.x.iter().copied().cycle().take(n).collect();
            flat.run_compiled(&x);
        }
    }

    fn compare(&self, what: &str, f: &Flat, fixed: &[f64], moves: &[f64], found: &[f64]) {
        if !self.smooth {
            return;
        }
        let at = |x: &[f64]| f.run(&join(x, fixed));
        if let Some(expected) = slope(at, &self.x, moves) {
            assert_close(what, found, &expected, DIFFERENCE);
        }
    }

    fn first(&self) {
        let (x, f) = (&self.x, &self.function);
        let v = normals(1, "direction", x.len());
        let tangents = f.program.linearize(&NAMES).expect("names of inputs");
        let tangents = Flat::new(tangents, SAME);
        let jv = tangents.run(&join(x, &v));
        self.compare("tangent", f, &[], &v, &jv);

        let cotangents = Flat::new(f.program.vjp(&NAMES).expect("names of inputs"), SAME);
        let c = normals(1, "cotangent", jv.len());
        let jtc = cotangents.run(&join(x, &c));
        assert_close("adjoint", &[dot(&c, &jv)], &[dot(&jtc, &v)], SAME);

        let wide = tangents.program.batch(&["d x0", "d x1"], 3);
        let wide = Flat::new(wide.expect("directions are inputs"), SAME);
        let directions = ["u", "v", "w"].map(|name| normals(1, name, x.len()));
        check_block(&tangents, &wide, x, &directions, "block of tangents", SAME);
        let points = directions.map(|v| x.iter().zip(&v).map(|(x, v)| x + 0.1 * v).collect());
        if points.iter().all(|p: &Vec<f64>| self.is_small(p)) {
            let wide = f.program.batch(&NAMES, 3).expect("names of inputs");
            check_block(
                f,
                &Flat::new(wide, SAME),
                &[],
                &points,
                "block of values",
                SAME,
            );
        }
    }

    fn second(&self) {
        let x = &self.x;
        let linear = |p: &Program| Flat::new(p.linearize(&NAMES).expect("names of inputs"), SAME);
        let value = Flat::new(self.loss.clone(), SAME);
        let gradient = Flat::new(self.loss.grad(&NAMES).expect("a single number"), SAME);
        let product = linear(&gradient.program);
        let (u, v) = (normals(1, "u", x.len()), normals(1, "v", x.len()));
        let slope = [dot(&gradient.run(x), &v)];
        self.compare("gradient", &value, &[], &v, &slope);
        let (hu, hv) = (product.run(&join(x, &u)), product.run(&join(x, &v)));
        self.compare("Hessian", &gradient, &[], &v, &hv);
        assert_close("symmetry", &[dot(&u, &hv)], &[dot(&v, &hu)], SAME);
        let wide = product.program.batch(&["d x0", "d x1"], 2);
        let wide = Flat::new(wide.expect("directions are inputs"), SAME);
        check_block(
            &product,
            &wide,
            x,
            &[u.clone(), v.clone()],
            "block of products",
            SAME,
        );
        if product.program.len() < 2_000 {
            let along = linear(&product.program).run(&[&x[..], &v, &u].concat());
            self.compare("third derivative", &product, &v, &u, &along);
        }
    }
}
