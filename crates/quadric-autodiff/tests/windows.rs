//! Windows of absurd sizes: an error or a value, never an overflow.

mod common;

use common::{Flat, normals};
use quadric_autodiff::{Padding, Program, Tensor, Windows};

/// What is said of a window of images of a shape.
fn message(shape: [usize; 4], f: impl for<'t> FnOnce(Tensor<'t>) -> Tensor<'t>) -> String {
    let program = Program::trace(|t| vec![f(t.input("x", shape))]);
    program.expect_err("no such windows").to_string()
}

/// Windows of sizes that no image has.
fn wild() -> Vec<Windows> {
    let wild = [
        0,
        1,
        2,
        3,
        255,
        1 << 31,
        1 << 62,
        1 << 63,
        usize::MAX - 1,
        usize::MAX,
    ];
    let usual = Windows::default();
    let mut all = Vec::new();
    for (a, b) in wild.iter().flat_map(|&a| wild.map(|b| (a, b))) {
        let strides = [a, b];
        all.push(Windows { strides, ..usual });
        let dilation = [a, b];
        all.push(Windows { dilation, ..usual });
        let padding = Padding::Zeros([a, 0], [b, 1]);
        all.push(Windows { padding, ..usual });
        let (padding, dilation) = (Padding::Zeros([0, a], [1, a]), [1, b]);
        all.push(Windows {
            padding,
            dilation,
            ..usual
        });
        let (padding, dilation) = (Padding::Same, [b, a]);
        all.push(Windows {
            padding,
            dilation,
            ..usual
        });
        all.push(Windows {
            padding,
            dilation,
            strides,
            ..usual
        });
        all.push(Windows { groups: a, ..usual });
    }
    all
}

/// An image padded farther is no mistake, but may be larger than the memory.
fn is_small(windows: &Windows) -> bool {
    match windows.padding {
        Padding::Zeros(a, b) => a.into_iter().chain(b).all(|n| n <= 255),
        Padding::Same => windows.dilation.iter().all(|&d| d <= 255),
        Padding::Valid => true,
    }
}

#[test]
fn windows_that_overflow_end_the_trace() {
    type Call = for<'t> fn(Tensor<'t>, Tensor<'t>, Windows) -> Tensor<'t>;
    let calls: [(&[&str], Call); 4] = [
        (&["conv2d", "convolution"], |x, k, w| x.conv2d(k, w)),
        (&["max_pool", "window_argmax"], |x, _, w| {
            x.max_pool([2, 3], w)
        }),
        (&["avg_pool", "conv2d", "convolution"], |x, _, w| {
            x.avg_pool([3, 2], w)
        }),
        (&["patches", "pad", "memory"], |x, _, w| {
            x.patches([2, 3], w)
        }),
    ];
    let (mut refused, mut made) = (0, 0);
    for windows in wild() {
        for (names, call) in calls {
            let loss = Program::trace(|t| {
                let (x, k) = (t.input("x", [1, 4, 5, 2]), t.input("k", [2, 3, 2, 2]));
                vec![call(x, k, windows).square().mean_all() + k.sum_all()]
            });
            let gradient = match loss.and_then(|p| p.grad(&["x", "k"])) {
                Ok(gradient) => gradient,
                Err(e) => {
                    let text = e.to_string();
                    assert!(
                        names.iter().any(|n| text.contains(n)),
                        "{windows:?}: {text}"
                    );
                    refused += 1;
                    continue;
                }
            };
            let product = gradient.linearize(&["x", "k"]).expect("names of inputs");
            made += 1;
            if is_small(&windows) {
                let flat = Flat::new(product, 1e-12);
                flat.run(&normals(1, "x", flat.sizes.iter().sum()));
            }
        }
    }
    assert!(
        refused > 1000 && made > 200,
        "{refused} refused, {made} made"
    );
}

#[test]
fn windows_without_positions_are_refused() {
    let usual = Windows::default();
    let size = |n| Windows {
        padding: Padding::Zeros([n, n], [n, n]),
        ..usual
    };
    let text = message([1, 2, 2, 1], |x| x.max_pool([usize::MAX, 1], size(0)));
    assert!(text.contains("window_argmax"), "{text}");
    let text = message([1, 2, 2, 1], |x| x.avg_pool([1 << 40, 1 << 40], size(0)));
    assert!(text.contains("memory"), "{text}");
    let text = message([1, 1 << 16, 1 << 16, 1], |x| x.max_pool([1, 1], size(0)));
    assert!(text.contains("no indices"), "{text}");
    // Both entries of the first window are outside.
    let apart = Windows {
        dilation: [4, 1],
        ..size(1)
    };
    let text = message([1, 3, 3, 1], |x| x.max_pool([2, 2], apart));
    assert!(text.contains("window_argmax"), "{text}");
}

#[test]
fn patches_times_a_kernel_are_a_convolution() {
    let usual = Windows::default();
    for windows in [
        usual,
        Windows {
            strides: [2, 3],
            padding: Padding::Same,
            ..usual
        },
        Windows {
            strides: [1, 2],
            dilation: [3, 1],
            padding: Padding::Zeros([2, 0], [1, 3]),
            ..usual
        },
    ] {
        let program = Program::trace(|t| {
            let (x, k) = (t.input("x", [2, 6, 5, 3]), t.input("k", [2, 3, 3, 4]));
            let product = x.patches([2, 3], windows).matmul(k.reshape([18, 4]));
            vec![(product - x.conv2d(k, windows)).abs().max(&[0, 1, 2, 3])]
        });
        let flat = Flat::new(program.expect("shapes fit"), 1e-12);
        let found = flat.run(&normals(1, "x", flat.sizes.iter().sum()));
        assert!(found[0] < 1e-14, "{windows:?}: {found:?}");
    }
}
