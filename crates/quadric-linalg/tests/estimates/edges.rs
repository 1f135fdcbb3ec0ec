//! Scales, threads, and input that is refused.

use super::krylov_support::*;
use faer::{Mat, MatMut, MatRef};
use quadric_linalg::algebra::{Dense, Diagonal, Scaled};
use quadric_linalg::estimate::{
    DensityOptions, DiagonalOptions, Eigenspace, TraceMethod, TraceOptions, density, diagonal,
    trace,
};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{ErrorKind, LinearOperator, Properties, Result, Scalar};
use std::ops::ControlFlow;

const METHODS: [TraceMethod; 6] = [
    TraceMethod::Auto,
    TraceMethod::Hutchinson,
    TraceMethod::HutchPlusPlus,
    TraceMethod::XTrace,
    TraceMethod::XNysTrace,
    TraceMethod::Exact,
];

/// Numbers of every estimate of an operator: values, half-widths, and products.
fn everything<T: Scalar>(op: &dyn LinearOperator<T>) -> Vec<f64> {
    let mut all = Vec::new();
    for method in METHODS {
        let options = TraceOptions {
            method,
            parts: vec![0..7, 7..9],
            ..TraceOptions::default()
        };
        let report = trace(op, &options, SeedTree::new(4)).unwrap();
        all.extend([report.total.value, report.total.half_width()]);
        all.push(report.parts[0].value);
    }
    let report = diagonal(op, &DiagonalOptions::default(), SeedTree::new(4)).unwrap();
    all.extend(&report.values[..5]);
    all.extend(&report.half_widths[..5]);
    let options = DensityOptions {
        steps: 12,
        dense: 0,
        ..DensityOptions::default()
    };
    let density = density(op, None, &options, SeedTree::new(4), |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let (low, high) = density.extremes().unwrap();
    all.extend([low, high, density.moment(1).unwrap().value]);
    all.push(density.trace_of(|t| t).unwrap().total.value);
    all
}

fn scales<T: Scalar>(slack: f64) {
    let a = with_spectrum(
        &(1..=200).map(|i| f64::from(i).powi(-2)).collect::<Vec<_>>(),
        4,
    );
    let base = everything(&spd::<T>(&a));
    let trace: f64 = (0..200).map(|i| a[(i, i)]).sum();
    for (method, values) in METHODS.iter().zip(base.chunks(3)) {
        assert!(
            (values[0] / trace - 1.0).abs() < 0.05,
            "{method:?}: {}",
            values[0]
        );
    }
    // Powers of two near 1e-30 and 1e30, so that the operator itself is not rounded.
    for scale in [2f64.powi(-100), 2f64.powi(100)] {
        let scaled = everything(&Scaled {
            factor: scale,
            op: spd::<T>(&a),
        });
        for (i, (a, b)) in scaled.iter().zip(&base).enumerate() {
            assert!(
                (a / scale - b).abs() <= slack * trace,
                "{scale:e} {i}: {a:e} {b:e}"
            );
        }
    }
}

#[test]
fn tiny_and_huge_operators() {
    scales::<f64>(1e-12);
    scales::<f32>(1e-4);
}

#[test]
fn threads_change_no_bit() {
    let op = Diagonal((0..70_000).map(|i| 1.0 / (1.0 + f64::from(i))).collect());
    let pool = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let mut all = Vec::new();
            for method in [
                TraceMethod::Hutchinson,
                TraceMethod::XTrace,
                TraceMethod::XNysTrace,
            ] {
                let options = TraceOptions {
                    method,
                    target: 0.0,
                    max_products: 20,
                    ..TraceOptions::default()
                };
                let report = trace(&op, &options, SeedTree::new(9)).unwrap();
                all.extend([report.total.value, report.total.low]);
            }
            let options = DensityOptions {
                steps: 6,
                ..DensityOptions::default()
            };
            let density = density(&op, None, &options, SeedTree::new(9), |_| {
                ControlFlow::Continue(())
            })
            .unwrap();
            all.extend(density.atoms().iter().flat_map(|a| [a.0, a.1]));
            all
        })
    };
    assert_eq!(pool(1), pool(4));
}

/// The width of a block is a matter of speed: where the operator treats columns alike, it changes no bit.
#[test]
fn blocks_change_no_bit() {
    let op = Diagonal((0..500).map(|i| 1.0 / (1.0 + f64::from(i))).collect());
    let of = |block| {
        let reports = METHODS.map(|method| {
            let options = TraceOptions {
                method,
                block,
                ..TraceOptions::default()
            };
            trace(&op, &options, SeedTree::new(9)).unwrap().total.value
        });
        let options = DensityOptions {
            block,
            steps: 6,
            ..DensityOptions::default()
        };
        let seed = SeedTree::new(9);
        let density = density(&op, None, &options, seed, |_| ControlFlow::Continue(())).unwrap();
        (reports, density)
    };
    // Sequential stopping rounds Hutchinson's next look to whole blocks; its target is met by the first.
    assert_eq!(of(16), of(1));
    assert_eq!(of(16), of(5));
}

/// Products that are finite and a trace that is not.
#[test]
fn traces_that_overflow() {
    let op = Diagonal(vec![1e308; 100]);
    for method in METHODS {
        let options = TraceOptions {
            method,
            ..TraceOptions::default()
        };
        let error = trace(&op, &options, SeedTree::new(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite, "{method:?}");
    }
}

/// Zero operators have trace, diagonal and density without a division by zero.
#[test]
fn zero_operators() {
    let op = Diagonal(vec![0.0f32; 300]);
    for method in METHODS {
        let options = TraceOptions {
            method,
            ..TraceOptions::default()
        };
        let report = trace(&op, &options, SeedTree::new(0)).unwrap();
        assert!(report.met && report.total.value == 0.0 && report.total.half_width() == 0.0);
    }
    let report = diagonal(&op, &DiagonalOptions::default(), SeedTree::new(0)).unwrap();
    assert!(
        report
            .values
            .iter()
            .chain(&report.half_widths)
            .all(|v| *v == 0.0)
    );
}

/// Low rank: once it is caught, nothing is left to estimate.
#[test]
fn operators_of_low_rank() {
    let mut values = vec![0.0; 200];
    values[..4].copy_from_slice(&[4.0, 3.0, 2.0, 1.0]);
    let a = with_spectrum(&values, 1);
    for method in [
        TraceMethod::Auto,
        TraceMethod::XTrace,
        TraceMethod::XNysTrace,
    ] {
        let options = TraceOptions {
            method,
            target: 1e-6,
            ..TraceOptions::default()
        };
        let report = trace(&spd::<f64>(&a), &options, SeedTree::new(2)).unwrap();
        assert!(report.met && report.products == 20, "{report:?}");
        assert!((report.total.value - 10.0).abs() < 1e-11, "{report:?}");
        let options = TraceOptions {
            target: 1e-2,
            ..options
        };
        let report = trace(&spd::<f32>(&a), &options, SeedTree::new(2)).unwrap();
        assert!(
            report.met && (report.total.value - 10.0).abs() < 1e-3,
            "{report:?}"
        );
    }
}

/// An operator with whatever properties, whose products are not a number.
struct Odd(Properties, f64);

impl LinearOperator<f64> for Odd {
    fn shape(&self) -> (usize, usize) {
        (100, 100)
    }

    fn apply(&self, _: MatRef<'_, f64>, mut y: MatMut<'_, f64>) -> Result<()> {
        y.fill(self.1);
        Ok(())
    }

    fn properties(&self) -> Properties {
        self.0
    }
}

/// The kinds of the errors of all three estimates.
fn refused(op: &dyn LinearOperator<f64>, kind: ErrorKind) {
    for method in METHODS {
        let options = TraceOptions {
            method,
            ..TraceOptions::default()
        };
        assert_eq!(
            trace(op, &options, SeedTree::new(0)).unwrap_err().kind(),
            kind
        );
    }
    let options = DiagonalOptions::default();
    assert_eq!(
        diagonal(op, &options, SeedTree::new(0)).unwrap_err().kind(),
        kind
    );
    for dense in [0, 4096] {
        let options = DensityOptions {
            dense,
            ..DensityOptions::default()
        };
        let result = density(op, None, &options, SeedTree::new(0), |_| {
            ControlFlow::Continue(())
        });
        assert_eq!(result.unwrap_err().kind(), kind);
    }
}

#[test]
fn operators_that_are_refused() {
    refused(&Dense::new(Mat::zeros(3, 4)), ErrorKind::Shape);
    refused(&Dense::new(Mat::zeros(30, 30)), ErrorKind::Capability);
    let random = Properties {
        random: true,
        ..Properties::PSD
    };
    refused(&Odd(random, 0.0), ErrorKind::Capability);
    refused(&Odd(Properties::PSD, f64::NAN), ErrorKind::NonFinite);
    refused(&Odd(Properties::PSD, f64::INFINITY), ErrorKind::NonFinite);
    let indefinite = Dense::symmetric(with_spectrum(&normals(100, 3), 1)).unwrap();
    let options = TraceOptions {
        method: TraceMethod::XNysTrace,
        max_products: 50,
        ..TraceOptions::default()
    };
    let error = trace(&indefinite, &options, SeedTree::new(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Capability);
    // A promise that the products break.
    let lying = Dense::psd(with_spectrum(&normals(100, 3), 1)).unwrap();
    let error = trace(&lying, &options, SeedTree::new(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Numeric);
}

#[test]
fn options_that_are_refused() {
    let op = Diagonal(vec![1.0; 100]);
    let default = TraceOptions::default;
    let few = |method, max_products| TraceOptions {
        method,
        max_products,
        ..default()
    };
    let bad = [
        TraceOptions {
            level: 1.0,
            ..default()
        },
        TraceOptions {
            level: f64::NAN,
            ..default()
        },
        TraceOptions {
            target: -1.0,
            ..default()
        },
        TraceOptions {
            block: 0,
            ..default()
        },
        TraceOptions {
            parts: vec![0..50, 50..101],
            ..default()
        },
        few(TraceMethod::Auto, 0),
        few(TraceMethod::Hutchinson, 1),
        few(TraceMethod::HutchPlusPlus, 29),
        few(TraceMethod::XTrace, 19),
        few(TraceMethod::XNysTrace, 19),
        few(TraceMethod::Exact, 99),
    ];
    for options in bad {
        let error = trace(&op, &options, SeedTree::new(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "{options:?}");
    }
}

#[test]
fn options_of_densities_that_are_refused() {
    let op = Diagonal(vec![1.0; 100]);
    let default = DensityOptions::default;
    let bad = [
        DensityOptions {
            probes: 0,
            ..default()
        },
        DensityOptions {
            steps: 0,
            ..default()
        },
        DensityOptions {
            level: 0.0,
            ..default()
        },
        DensityOptions {
            block: 0,
            ..default()
        },
    ];
    for options in bad {
        let error = density(&op, None, &options, SeedTree::new(0), |_| {
            ControlFlow::Continue(())
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "{options:?}");
    }
    // No more starts than dimensions.
    let vast = DensityOptions {
        probes: usize::MAX / 8,
        dense: 0,
        ..default()
    };
    let found = density(&op, None, &vast, SeedTree::new(0), |_| {
        ControlFlow::Continue(())
    });
    let found = found.unwrap();
    assert_eq!(found.rules.len(), op.shape().0);
    assert!(Eigenspace::new(Mat::<f64>::identity(3, 2), vec![1.0]).is_err());
    assert!(Eigenspace::new(Mat::<f64>::identity(3, 1), vec![f64::NAN]).is_err());
    assert!(Eigenspace::new(Mat::<f64>::from_fn(3, 1, |_, _| 1.0), vec![1.0]).is_err());
}
