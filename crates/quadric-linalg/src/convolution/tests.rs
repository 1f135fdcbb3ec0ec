//! The kernels against the definition in double precision.

use super::*;
use crate::random::SeedTree;

fn normals<T: Scalar>(purpose: &str, n: usize) -> Vec<T> {
    let mut stream = SeedTree::new(7).child(purpose).stream(0);
    (0..n).map(|_| T::of(stream.normal())).collect()
}

/// Calls `f(output, input, kernel)` with the positions of all products.
fn triples(g: &Geometry, c: Channels, n: usize, mut f: impl FnMut(usize, usize, usize)) {
    let [h, w] = g.outputs();
    let (ins, outs) = (c.input / g.groups, c.output / g.groups);
    for image in 0..n {
        for (oy, ox) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            for (ky, kx) in (0..g.kernel[0]).flat_map(|y| (0..g.kernel[1]).map(move |x| (y, x))) {
                let (Some(y), Some(x)) = (g.at(0, oy, ky), g.at(1, ox, kx)) else {
                    continue;
                };
                for o in 0..c.output {
                    for i in 0..ins {
                        let channel = o / outs * ins + i;
                        f(
                            ((image * h + oy) * w + ox) * c.output + o,
                            ((image * g.input[0] + y) * g.input[1] + x) * c.input + channel,
                            ((ky * g.kernel[1] + kx) * ins + i) * c.output + o,
                        );
                    }
                }
            }
        }
    }
}

fn check<T: Scalar>(g: &Geometry, c: Channels, n: usize) {
    let [h, w] = g.outputs();
    let sizes = [
        n * h * w * c.output,
        n * g.input[0] * g.input[1] * c.input,
        g.window() * c.input / g.groups * c.output,
    ];
    let [out, x, kernel] = sizes.map(|s| normals::<T>("values", s));
    let mut exact = sizes.map(|s| vec![0.0; s]);
    triples(g, c, n, |o, i, k| {
        exact[0][o] += x[i].to_f64() * kernel[k].to_f64();
        exact[1][i] += out[o].to_f64() * kernel[k].to_f64();
        exact[2][k] += out[o].to_f64() * x[i].to_f64();
    });
    let mut found = sizes.map(|s| vec![T::of(f64::NAN); s]);
    convolve(g, c, &x, &kernel, &mut found[0]);
    convolve_input(g, c, &out, &kernel, &mut found[1]);
    convolve_kernel(g, c, &out, &x, &mut found[2]);
    for (which, (found, exact)) in found.iter().zip(&exact).enumerate() {
        let scale = exact.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        for (a, b) in found.iter().zip(exact) {
            let error = (a.to_f64() - b).abs() / scale;
            assert!(
                error < 50.0 * T::EPSILON,
                "product {which} of {g:?}, {c:?}, {}: {a:?}, not {b}",
                T::NAME
            );
        }
    }
}

#[test]
fn all_products_follow_the_definition() {
    let plain = Geometry {
        input: [9, 10],
        kernel: [3, 3],
        strides: [1, 1],
        dilation: [1, 1],
        padding: [[1, 1], [1, 1]],
        groups: 1,
    };
    let cases = [
        (plain, 16, 32),
        (plain, 3, 16),
        (plain, 9, 21),
        (
            Geometry {
                strides: [2, 2],
                ..plain
            },
            8,
            16,
        ),
        (
            Geometry {
                strides: [3, 2],
                padding: [[0, 2], [1, 0]],
                ..plain
            },
            8,
            5,
        ),
        (
            Geometry {
                dilation: [2, 3],
                padding: [[2, 3], [2, 3]],
                ..plain
            },
            4,
            16,
        ),
        (
            Geometry {
                kernel: [1, 1],
                padding: [[0, 0], [0, 0]],
                strides: [2, 2],
                ..plain
            },
            16,
            16,
        ),
        (
            Geometry {
                kernel: [2, 4],
                padding: [[3, 0], [0, 3]],
                ..plain
            },
            8,
            16,
        ),
        (Geometry { groups: 2, ..plain }, 16, 32),
        (plain, 5, 69),
        // Strides and distances in a window with and without a common divisor; pixels that no entry of the kernel reaches.
        (
            Geometry {
                strides: [4, 3],
                dilation: [2, 2],
                padding: [[5, 0], [1, 7]],
                ..plain
            },
            18,
            3,
        ),
        (
            Geometry {
                kernel: [2, 1],
                strides: [2, 4],
                dilation: [2, 1],
                padding: [[0, 0], [1, 0]],
                ..plain
            },
            33,
            17,
        ),
        (
            Geometry {
                input: [3, 2],
                kernel: [2, 2],
                strides: [5, 3],
                padding: [[9, 1], [9, 9]],
                ..plain
            },
            4,
            40,
        ),
        (Geometry { groups: 6, ..plain }, 6, 6),
        (
            Geometry {
                kernel: [5, 5],
                padding: [[0, 0], [0, 0]],
                strides: [4, 4],
                ..plain
            },
            2,
            3,
        ),
    ];
    for (g, input, output) in cases {
        for n in [1, 6] {
            check::<f32>(&g, Channels { input, output }, n);
            check::<f64>(&g, Channels { input, output }, n);
        }
    }
}

/// Sizes near the largest integer give no result instead of a wrong one.
#[test]
fn sizes_that_overflow_are_none() {
    let usual = Geometry {
        input: [5, 5],
        kernel: [3, 3],
        strides: [1, 1],
        dilation: [1, 1],
        padding: [[0, 0], [0, 0]],
        groups: 1,
    };
    assert_eq!(usual.output(0), Some(3));
    assert!(usual.is_addressable(1 << 40));
    assert!(!usual.is_addressable(usize::MAX / 25));
    let huge = [usize::MAX, 1];
    let with = |change: &dyn Fn(&mut Geometry)| {
        let mut g = usual;
        change(&mut g);
        g
    };
    let without_result = [
        with(&|g| g.padding[0] = huge),
        with(&|g| g.padding = [[usize::MAX - 5, 0], [1, 0]]),
        with(&|g| g.dilation = huge),
        with(&|g| g.dilation = [usize::MAX / 2 + 1, 1]),
        with(&|g| g.kernel = huge),
        with(&|g| g.kernel = [0, 1]),
        with(&|g| g.strides = [0, 1]),
    ];
    for g in without_result {
        assert_eq!(g.output(0), None, "{g:?}");
        assert!(!g.is_addressable(1), "{g:?}");
    }
    let long = with(&|g| g.strides = huge);
    assert_eq!(long.output(0), Some(1));
    assert!(!long.is_addressable(1));
    let wide = with(&|g| g.padding[1] = [1 << 31, 1 << 31]);
    assert_eq!(wide.output(0), Some((1 << 31) + 3));
    assert!(!wide.is_addressable(1));
}
