//! Curvature analyses: the document, the sentences, the page as text, the tables of the terminal.
#![allow(clippy::unwrap_used)] // Helpers fail the test they are called from.

#[path = "common/curvature.rs"]
mod made;

use quadric_core::ErrorKind;
use quadric_report::{
    Curvature, Eigenvalue, Estimate, Evolution, Spectrum, Trace, curvature_text, evolution_text,
    findings, render_curvature, render_evolution,
};

fn eigenvalue(value: f64, residual: f64, converged: bool) -> Eigenvalue {
    Eigenvalue {
        value,
        residual,
        converged,
    }
}

/// An analysis of a Hessian alone.
fn of(hessian: Spectrum) -> Curvature {
    Curvature {
        hessian: Some(hessian),
        ..Curvature::default()
    }
}

#[test]
fn the_document_survives() {
    for c in [made::analysis(), Curvature::default()] {
        // Reading JSON rounds numbers; what was read once stays.
        let once: Curvature = serde_json::from_str(&serde_json::to_string(&c).unwrap()).unwrap();
        let text = serde_json::to_string(&once).unwrap();
        assert_eq!(serde_json::from_str::<Curvature>(&text).unwrap(), once);
        assert_eq!(once.hessian.is_some(), c.hessian.is_some());
    }
    let e = made::training();
    let once: Evolution = serde_json::from_str(&serde_json::to_string(&e).unwrap()).unwrap();
    assert_eq!(once.checkpoints.len(), e.checkpoints.len());
    // What was not computed is absent, and what is unknown is refused.
    let text = serde_json::to_string(&Curvature::default()).unwrap();
    assert!(
        !text.contains("hessian") && !text.contains("accuracy"),
        "{text}"
    );
    assert!(serde_json::from_str::<Curvature>("{\"hesian\": {}}").is_err());
}

#[test]
fn the_sentences_are_true() {
    let top = vec![eigenvalue(40.0, 0.02, true), eigenvalue(10.0, 0.01, true)];
    let trace = Some(Trace {
        value: 100.0,
        low: 90.0,
        high: 110.0,
        level: 0.95,
        products: 50,
        draws: 0,
    });
    let spectrum = |bottom: Vec<Eigenvalue>| Spectrum {
        top: top.clone(),
        bottom,
        trace,
        ..Spectrum::default()
    };
    let say = |bottom: Vec<Eigenvalue>| findings(&of(spectrum(bottom)));
    let sharpest = "The sharpest direction of the Hessian has curvature 40.000 ± 0.020; steps of gradient descent up to \
                    2/λ₁ = 0.0500 are stable along it. The next curvature is 10.0. The 2 largest make up 50 % of the trace.";
    let interval =
        "The trace of the Hessian is 100, with 95 % confidence between 90.0 and 110 (50 products).";
    let all = say(vec![eigenvalue(0.5, 0.1, true)]);
    assert_eq!(
        all,
        [
            sharpest,
            "There are no negative directions: the smallest eigenvalue is 0.50 ± 0.10.",
            interval,
            "All 3 eigenvalues have converged; each error (±) is a measured residual, and an eigenvalue lies within it."
        ]
    );
    let all = say(vec![
        eigenvalue(-2.0, 0.1, true),
        eigenvalue(-0.05, 0.1, true),
    ]);
    assert_eq!(
        all[1],
        "There are negative directions: the smallest eigenvalue is -2.00 ± 0.10, 5.0 % of the largest in size, and 1 of the 2 \
         smallest that were computed are below zero."
    );
    let all = say(vec![eigenvalue(-0.05, 0.1, true)]);
    assert_eq!(
        all[1],
        "Whether there are negative directions is open: the smallest eigenvalue is -0.05 ± 0.10, which includes zero."
    );
    let all = say(vec![eigenvalue(-2.0, 0.5, false)]);
    assert!(
        all[1].contains("it has not converged, and the true one may be smaller"),
        "{}",
        all[1]
    );
    assert!(
        all[3].starts_with("1 of 3 eigenvalues have not converged and are marked"),
        "{}",
        all[3]
    );
    // Only the Hessian bounds the steps of gradient descent.
    let fisher = Curvature {
        fisher: Some(spectrum(Vec::new())),
        ..Curvature::default()
    };
    let all = findings(&fisher);
    assert!(
        all[0].starts_with(
            "The sharpest direction of the Fisher has curvature 40.000 ± 0.020. The next"
        ),
        "{}",
        all[0]
    );
    let none = of(Spectrum {
        top: vec![eigenvalue(-1.0, 0.1, true)],
        ..Spectrum::default()
    });
    assert!(findings(&none)[0].starts_with("No direction of positive curvature was found"));
    assert_eq!(findings(&Curvature::default()), ["No matrix was analysed."]);
    let exact = Trace {
        value: 3.0,
        low: 3.0,
        high: 3.0,
        level: 1.0,
        products: 43,
        draws: 0,
    };
    let exact = of(Spectrum {
        trace: Some(exact),
        ..Spectrum::default()
    });
    assert_eq!(
        findings(&exact),
        ["The trace of the Hessian is 3.00, which is exact."]
    );
    let all = findings(&made::analysis()).join(" ");
    assert!(all.contains("per parameter it is bn1.weight"), "{all}");
    assert!(
        all.contains("62 % of the gradient, by its squared length"),
        "{all}"
    );
    let mut still = made::analysis();
    still.examples = 1;
    still.noise_scale = still.noise_scale.map(|e| Estimate { value: 2e4, ..e });
    let told = findings(&still).join(" ");
    assert!(
        told.contains("as at a minimum") && !told.contains("each direction matters"),
        "{told}"
    );
    for part in [
        "The noise scale is 5400 (95 % confidence: 5100 to 5700): the mean",
        "how much each direction matters, the noise scale is 2300 (95 % confidence: 2100 to 2500).",
        "The density of the Hessian is estimated from 8 random starts of 60 Lanczos steps each: at each place its band holds the smoothed \
         density with 95 % confidence, and where that is above a hundredth of its peak the band is ±50 % of it in the median \
         and ±50 % at worst.",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
}

/// Shares of a distribution whose nodes are known.
#[test]
fn the_bulk_is_measured_by_the_nodes() {
    let mut c = of(Spectrum {
        top: vec![eigenvalue(10.0, 0.0, true)],
        ..Spectrum::default()
    });
    c.hessian.as_mut().unwrap().density = Some(quadric_report::Density {
        nodes: vec![-1.0, -0.05, 0.0, 0.1, 0.2, 10.0],
        weights: vec![0.05, 0.1, 0.5, 0.1, 0.2, 0.05],
        ..Default::default()
    });
    let all = findings(&c);
    assert_eq!(
        all[1],
        "About 70 % of all eigenvalues are near zero (within 1 % of the largest), 25 % are above and 5.0 % below."
    );
    // What is known of the quadrature says how sure that is.
    let density = c.hessian.as_mut().unwrap().density.as_mut().unwrap();
    density.near_zero = Some(Estimate {
        value: 0.7,
        low: 0.4,
        high: 0.85,
        level: 0.9,
    });
    assert_eq!(
        findings(&c)[1],
        "About 70 % of all eigenvalues are near zero (within 1 % of the largest; between 40 % and 85 % with 90 % confidence), \
         25 % are above and 5.0 % below."
    );
}

#[test]
fn numbers_that_cannot_be_shown_are_named() {
    type Break = fn(&mut Curvature);
    let table: [(Break, ErrorKind, &str); 8] = [
        (|c| c.loss = f64::NAN, ErrorKind::NonFinite, "loss"),
        (
            |c| c.hessian.as_mut().unwrap().top[1].residual = f64::INFINITY,
            ErrorKind::NonFinite,
            "hessian.top",
        ),
        (
            |c| c.ggn.as_mut().unwrap().trace.as_mut().unwrap().low = f64::NAN,
            ErrorKind::NonFinite,
            "ggn.trace",
        ),
        (
            |c| c.covariance.as_mut().unwrap().layers[3].trace = f64::NAN,
            ErrorKind::NonFinite,
            "covariance.layers",
        ),
        (
            |c| density(c).pdf.truncate(1),
            ErrorKind::Shape,
            "hessian.density.pdf",
        ),
        (
            |c| density(c).high.clear(),
            ErrorKind::Shape,
            "hessian.density.high",
        ),
        (
            |c| c.landscape.as_mut().unwrap().lines[0].values.truncate(1),
            ErrorKind::Shape,
            "landscape.lines.values",
        ),
        (
            |c| plane(c).values[2].truncate(1),
            ErrorKind::Shape,
            "landscape.plane.values",
        ),
    ];
    for (damage, kind, name) in table {
        let mut c = made::analysis();
        damage(&mut c);
        let error = render_curvature(&c).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}");
        assert!(error.message().contains(name), "{error}");
        assert!(curvature_text(&c, None, false).is_err());
        let mut e = made::training();
        e.checkpoints[1].report = c;
        let error = render_evolution(&e).unwrap_err();
        assert!(error.to_string().contains("epoch 5"), "{error}");
    }
}

fn density(c: &mut Curvature) -> &mut quadric_report::Density {
    c.hessian.as_mut().unwrap().density.as_mut().unwrap()
}

fn plane(c: &mut Curvature) -> &mut quadric_report::Plane {
    c.landscape.as_mut().unwrap().plane.as_mut().unwrap()
}

#[test]
fn the_page_holds_the_document_and_marks_what_is_open() {
    let c = made::analysis();
    let html = render_curvature(&c).unwrap();
    let (_, rest) = html
        .split_once("<script type=\"application/json\" id=\"data\">")
        .unwrap();
    let block = rest.split_once("</script>").unwrap().0;
    let data: serde_json::Value = serde_json::from_str(block).unwrap();
    let read: Curvature = serde_json::from_value(data["report"].clone()).unwrap();
    assert_eq!(
        (read.parameters, read.hessian.unwrap().layers.len()),
        (272_474, 22)
    );
    // One of the largest and one of the smallest of the Hessian.
    assert_eq!(html.matches(">not converged</span>").count(), 2);
    assert!(html.contains("content=\"default-src 'none';"));
    let hostile = render_curvature(&made::hostile()).unwrap();
    assert_eq!(hostile.matches("</script").count(), 3);
    let (page, rest) = hostile.split_once("id=\"data\">").unwrap();
    let (_, rest) = rest.split_once("</script>").unwrap();
    assert!(!hostile.contains("<img") && !page.contains('\u{202e}') && !rest.contains('\u{202e}'));
    let e = render_evolution(&made::training()).unwrap();
    assert!(e.contains("From epoch 0 to epoch 90 the largest eigenvalue of the Hessian goes from"));
    assert!(e.contains("it is largest at epoch 60"));
    assert!(
        render_evolution(&Evolution::default())
            .unwrap()
            .contains("No matrix was analysed.")
    );
}

#[test]
fn the_text_fits_the_terminal() {
    for c in [made::analysis(), made::hostile(), Curvature::default()] {
        for width in [40, 60, 100, 160] {
            let text = curvature_text(&c, Some(width), false).unwrap();
            assert!(
                text.lines().all(|l| l.chars().count() <= width),
                "{width}\n{text}"
            );
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
    let text = curvature_text(&made::analysis(), None, false).unwrap();
    assert!(
        text.contains("resnet20: 272474 parameters, 10000 examples"),
        "{text}"
    );
    assert!(text.contains("~5.83 ± 0.47"), "{text}");
    assert!(text.contains("~ has not converged"), "{text}");
    let rows: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with("conv1.weight") || l.starts_with("linear.weight"))
        .collect();
    assert_eq!(rows.len(), 2, "{text}");
    let painted = curvature_text(&made::analysis(), None, true).unwrap();
    assert!(painted.contains("\u{1b}[33m+10"), "{painted}");
    let text = evolution_text(&made::training(), None, false).unwrap();
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    assert_eq!(
        text.lines().filter(|l| l.starts_with("epoch ")).count(),
        12,
        "{text}"
    );
}
