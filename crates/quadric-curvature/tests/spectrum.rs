//! Analyses of matrices whose eigenvalues are known.

use faer::prelude::{Reborrow, ReborrowMut};
use faer::{MatMut, MatRef};
use quadric_core::{
    Container, ErrorKind, LinearOperator, Properties, Result, load_state, save_state,
};
use quadric_curvature::{Block, Saved, Spectrum, SpectrumOptions, spectrum};
use quadric_linalg::check_apply;
use quadric_linalg::estimate::DensityOptions;
use quadric_linalg::random::SeedTree;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `Q D Q` for the reflection Q along a random vector.
struct Known {
    values: Vec<f64>,
    along: Vec<f64>,
    psd: bool,
    passes: AtomicUsize,
}

impl Known {
    fn new(values: Vec<f64>) -> Self {
        let mut stream = SeedTree::new(9).child("reflection").stream(0);
        let mut along: Vec<f64> = values.iter().map(|_| stream.normal()).collect();
        let norm = along.iter().map(|v| v * v).sum::<f64>().sqrt();
        along.iter_mut().for_each(|v| *v /= norm);
        Self {
            psd: values.iter().all(|v| *v >= 0.0),
            along,
            values,
            passes: AtomicUsize::new(0),
        }
    }

    fn reflect(&self, y: &mut MatMut<'_, f64>) {
        for column in y.rb_mut().col_iter_mut() {
            let along: f64 = column
                .rb()
                .iter()
                .zip(&self.along)
                .map(|(a, b)| a * b)
                .sum();
            for (v, a) in column.iter_mut().zip(&self.along) {
                *v -= 2.0 * along * a;
            }
        }
    }

    /// The trace of the block of some coordinates.
    fn block_trace(&self, range: std::ops::Range<usize>) -> f64 {
        // Row i of Q is e_i - 2 a_i a.
        let entry = |i: usize| -> f64 {
            let terms = self.values.iter().zip(&self.along).enumerate();
            let q = |j: usize, a: f64| f64::from(u8::from(i == j)) - 2.0 * self.along[i] * a;
            terms.map(|(j, (v, a))| v * q(j, *a).powi(2)).sum()
        };
        range.map(entry).sum()
    }
}

impl LinearOperator<f64> for Known {
    fn shape(&self) -> (usize, usize) {
        (self.values.len(), self.values.len())
    }

    fn apply(&self, x: MatRef<'_, f64>, mut y: MatMut<'_, f64>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        self.passes.fetch_add(x.ncols(), Ordering::Relaxed);
        y.copy_from(x);
        self.reflect(&mut y);
        for column in y.rb_mut().col_iter_mut() {
            column
                .iter_mut()
                .zip(&self.values)
                .for_each(|(y, v)| *y *= v);
        }
        self.reflect(&mut y);
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            psd: self.psd,
            random: false,
        }
    }
}

/// Outliers on both sides of a bulk that decays, as Hessians of networks have.
fn like_a_hessian(n: usize) -> Vec<f64> {
    let ends = [9.0, 7.0, 5.5, 5.5, 4.0, -2.0, -1.5, -1.2, -1.0, -0.9];
    let bulk = (0..n - ends.len())
        .map(|i| 0.5 * 0.99f64.powi(i as i32) * if i % 3 == 0 { -1.0 } else { 1.0 });
    ends.into_iter().chain(bulk).collect()
}

fn halves(n: usize) -> [Block; 2] {
    [("first", 0..n / 2), ("second", n / 2..n)].map(|(name, range)| Block {
        name: name.to_owned(),
        range,
    })
}

fn analysed(matrix: &Known, options: &SpectrumOptions) -> Spectrum<f64> {
    let n = matrix.values.len();
    spectrum(
        matrix,
        &halves(n),
        None,
        options,
        Saved::default(),
        &mut |_| ControlFlow::Continue(()),
    )
    .expect("an analysis")
}

fn check(matrix: &Known, found: &Spectrum<f64>, tolerance: f64) {
    let mut sorted = matrix.values.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let norm = sorted[0].abs().max(sorted[sorted.len() - 1].abs());
    for (e, truth) in found.top.iter().zip(&sorted) {
        assert!(e.converged && e.residual <= tolerance * norm, "{e:?}");
        assert!(
            (e.value - truth).abs() <= e.residual + 1e-12 * norm,
            "{e:?}, {truth}"
        );
    }
    for (e, truth) in found.bottom.iter().zip(sorted.iter().rev()) {
        assert!(e.converged, "{e:?}");
        assert!(
            (e.value - truth).abs() <= e.residual + 1e-12 * norm,
            "{e:?}, {truth}"
        );
    }
    let trace = found.trace.expect("a trace").value;
    let truth: f64 = sorted.iter().sum();
    let near = 1e-9 * norm;
    assert!(
        trace.low - near <= truth && truth <= trace.high + near,
        "{trace:?}, {truth}"
    );
    for layer in &found.layers {
        let truth = matrix.block_trace(layer.block.range.clone());
        let (low, high) = (layer.trace.low - near, layer.trace.high + near);
        assert!(low <= truth && truth <= high, "{layer:?}, {truth}");
    }
    assert_eq!(found.products, matrix.passes.load(Ordering::Relaxed));
    let density = found.density.as_ref().expect("a density");
    let mean = density.moment(1).expect("finite");
    let n = sorted.len() as f64;
    assert!(
        (mean.value - truth / n).abs() <= mean.half_width() + 1e-3 * norm,
        "{mean:?}"
    );
}

#[test]
fn estimates_and_exact_numbers() {
    for (n, exact) in [(2600, false), (700, true)] {
        let matrix = Known::new(like_a_hessian(n));
        let options = SpectrumOptions {
            layer_tops: true,
            ..SpectrumOptions::default()
        };
        let found = analysed(&matrix, &options);
        assert_eq!(found.exact, exact);
        assert_eq!((found.top.len(), found.bottom.len()), (5, 5));
        check(&matrix, &found, 1e-3);
        if exact {
            assert_eq!(found.products, n);
            assert_eq!(found.trace.expect("a trace").value.level, 1.0);
        }
        for layer in &found.layers {
            let top = layer.top.expect("asked for");
            assert!(top.converged && top.value > 0.0 && top.value <= 9.0 + top.residual);
        }
    }
}

/// What is written down leaves nothing to estimate, however few products the estimates may take.
#[test]
fn everything_is_exact_where_the_matrix_is_written_down() {
    let matrix = Known::new(like_a_hessian(400));
    let options = SpectrumOptions {
        eigen_products: 100,
        trace_products: 10,
        layer_tops: true,
        density: Some(DensityOptions {
            probes: 1,
            steps: 5,
            ..DensityOptions::default()
        }),
        ..SpectrumOptions::default()
    };
    let found = analysed(&matrix, &options);
    check(&matrix, &found, 1e-12);
    assert!(found.exact && found.density.expect("a density").exact);
    assert_eq!(found.products, 400);
}

/// No ends are looked for below zero where there is nothing.
#[test]
fn positive_semidefinite_matrices() {
    let matrix = Known::new((0..2600).map(|i| 0.9f64.powi(i)).collect());
    let found = analysed(&matrix, &SpectrumOptions::default());
    assert!(found.bottom.is_empty());
    check(&matrix, &found, 1e-3);
}

/// Stopped anywhere and gone on with, an analysis gives the same bits.
#[test]
fn saved_analyses_go_on() {
    let matrix = Known::new(like_a_hessian(2400));
    let options = SpectrumOptions {
        layer_tops: true,
        ..SpectrumOptions::default()
    };
    let expected = analysed(&matrix, &options);
    let layers = halves(2400);
    let mut stops = 0;
    for every in [1, 7, 40] {
        let (mut saved, mut rounds) = (Saved::default(), 0);
        let found = loop {
            let mut told = 0;
            let mut kept = None;
            let result = spectrum(&matrix, &layers, None, &options, saved, &mut |at| {
                told += 1;
                // A part that cannot be divided goes through at some time.
                if told < every + rounds {
                    return ControlFlow::Continue(());
                }
                kept = Some((at.save)());
                ControlFlow::Break(())
            });
            rounds += 1;
            match (result, kept) {
                (Ok(found), _) => break found,
                (Err(e), Some(mut now)) => {
                    assert_eq!(e.kind(), ErrorKind::Stopped);
                    stops += 1;
                    let mut container = Container::new("test");
                    save_state(&mut now, "a", &mut container).expect("numbers");
                    saved = Saved::default();
                    load_state(&mut saved, "a", &mut container, "memory").expect("numbers");
                }
                (Err(e), None) => panic!("{e}"),
            }
        };
        assert_eq!(found.top, expected.top);
        assert_eq!(found.bottom, expected.bottom);
        assert_eq!(found.trace, expected.trace);
        assert_eq!(found.layers, expected.layers);
        assert_eq!(found.density, expected.density);
        assert_eq!(found.products, expected.products);
    }
    assert!(stops > 20, "{stops}");
}

#[test]
fn wrong_questions_are_refused() {
    let go = &mut |_: &quadric_curvature::At<'_, f64>| ControlFlow::Continue(());
    let options = SpectrumOptions::default();
    let empty = Known::new(Vec::new());
    let error = spectrum(&empty, &[], None, &options, Saved::default(), go).expect_err("nothing");
    assert!(error.to_string().contains("parameters"), "{error}");
    let matrix = Known::new(vec![1.0; 10]);
    let layers = [Block {
        name: "beyond".to_owned(),
        range: 5..11,
    }];
    let error =
        spectrum(&matrix, &layers, None, &options, Saved::default(), go).expect_err("no such row");
    assert!(error.to_string().contains("beyond"), "{error}");
    // More pairs than there are rows: all there are.
    let found = spectrum(
        &matrix,
        &[],
        None,
        &SpectrumOptions { top: 20, ..options },
        Saved::default(),
        go,
    );
    let found = found.expect("all eigenvalues");
    assert_eq!(found.top.len(), 10);
    assert!(found.top.iter().all(|e| (e.value - 1.0).abs() < 1e-12));
}
