//! Diagonals, shapes and conditions of matrices in the document, the sentences and the tables.
#![allow(clippy::unwrap_used)] // Helpers fail the test they are called from.

#[path = "common/curvature.rs"]
mod made;

use quadric_core::ErrorKind;
use quadric_report::{
    Condition, Curvature, Knowledge, Solution, curvature_text, findings, render_curvature,
};

#[test]
fn the_document_survives() {
    let c = made::granular();
    let once: Curvature = serde_json::from_str(&serde_json::to_string(&c).unwrap()).unwrap();
    let text = serde_json::to_string(&once).unwrap();
    assert_eq!(serde_json::from_str::<Curvature>(&text).unwrap(), once);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let hessian = &value["hessian"];
    assert_eq!(hessian["damped_condition"]["known"], "indefinite");
    assert_eq!(hessian["shapes"][0]["bytes"], 2_969_682_027_040_u64);
    assert!(hessian["shapes"][1]["absent"].is_null());
    // What was not asked for is absent.
    for key in [
        "shapes",
        "diagonal",
        "damping",
        "damped_condition",
        "solution",
    ] {
        assert!(value["covariance"].get(key).is_none(), "{key}");
    }
}

#[test]
fn conditions_in_words() {
    let say = |known: Knowledge, value: Option<f64>, ends: Option<[f64; 2]>| {
        let mut c = made::granular();
        let m = c.hessian.as_mut().unwrap();
        m.condition = None;
        m.damped_condition = Some(Condition { known, value, ends });
        m.damping = Some(2.0);
        let all = findings(&c);
        let found = all.into_iter().find(|f| f.contains("damping δ = 2.00"));
        found.unwrap()
    };
    assert_eq!(
        say(Knowledge::Bound, Some(101.0), None),
        "With the damping δ = 2.00 the condition of the Hessian is at most 101, since no eigenvalue is negative."
    );
    assert_eq!(
        say(Knowledge::Ends, Some(40.0), Some([38.0, 42.0])),
        "With the damping δ = 2.00 the condition of the Hessian is 40.0 (38.0 to 42.0 within the errors of both ends)."
    );
    assert_eq!(
        say(Knowledge::Exact, Some(40.0), None),
        "With the damping δ = 2.00 the condition of the Hessian is 40.0."
    );
    assert_eq!(
        say(Knowledge::Indefinite, None, None),
        "The Hessian plus the damping δ = 2.00 is not positive definite: there are eigenvalues below -δ."
    );
    // The smallest eigenvalue is -0.9.
    let mut c = made::granular();
    let m = c.hessian.as_mut().unwrap();
    m.damped_condition = Some(Condition {
        known: Knowledge::Exact,
        value: Some(7.0),
        ends: None,
    });
    let all = findings(&c).join(" ");
    assert!(
        all.contains("is 7.00, and without damping 3.20·10⁷, by the sizes of the eigenvalues"),
        "{all}"
    );
}

#[test]
fn shapes_in_words() {
    let mut c = made::granular();
    let all = findings(&c).join(" ");
    let nearest = "Of the shapes of the Hessian that are smaller than it, low-rank is the nearest: with 4359600 numbers its error in the \
                   Frobenius norm is 12 % (11 % to 13 % with 95 % confidence); its damped natural gradient has the cosine 0.880 with the \
                   true one.";
    assert!(all.contains(nearest), "{all}");
    let html = render_curvature(&c).unwrap();
    let text = curvature_text(&c, Some(160), false).unwrap();
    for part in [
        "full is left out: it takes 2969682027040 bytes.",
        "ekfac is left out: only Fisher matrices have it.",
        "In bn1.weight and bn1.bias, which multiply with no inputs of a layer, kronecker takes the matrix for 0.",
        "The true natural gradient is known to a relative residual of 10⁻⁴.",
    ] {
        assert_eq!(html.matches(part).count(), 2, "{part}");
        assert_eq!(text.matches(part).count(), 2, "{part}");
    }
    let row = text.lines().find(|l| l.starts_with("layers ")).unwrap();
    let cells: Vec<&str> = row
        .split("  ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect();
    let expected = [
        "layers",
        "6000000",
        "60000",
        "40.0",
        "9.00",
        "-1230",
        "20 %",
        "18 % to 22 %",
        "0.800",
    ];
    assert_eq!(cells, expected);
    assert!(
        text.contains("≤ 101") && text.contains("indefinite"),
        "{text}"
    );
    assert!(text.contains("diagonal (Gauss-Newton)"), "{text}");
    let m = c.hessian.as_mut().unwrap();
    m.solution = Some(Solution {
        residual: None,
        unknown: Some("the gradient is 0".to_owned()),
    });
    let text = curvature_text(&c, None, false).unwrap();
    assert!(
        text.contains("no true natural gradient to compare with: the gradient is 0."),
        "{text}"
    );
    for width in [40, 60, 100] {
        let text = curvature_text(&c, Some(width), false).unwrap();
        assert!(text.lines().all(|l| l.chars().count() <= width), "{text}");
    }
}

#[test]
fn numbers_that_cannot_be_shown_are_named() {
    type Break = fn(&mut quadric_report::Spectrum);
    let table: [(Break, &str); 4] = [
        (|m| m.damping = Some(f64::NAN), "hessian.damping"),
        (
            |m| m.damped_condition.as_mut().unwrap().value = Some(f64::INFINITY),
            "hessian.damped_condition",
        ),
        (
            |m| m.diagonal.as_mut().unwrap().layers[2].q95 = f64::NAN,
            "hessian.diagonal",
        ),
        (
            |m| m.shapes[1].error.as_mut().unwrap().high = f64::INFINITY,
            "hessian.shapes",
        ),
    ];
    for (damage, name) in table {
        let mut c = made::granular();
        damage(c.hessian.as_mut().unwrap());
        let error = render_curvature(&c).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite, "{name}");
        assert!(error.message().contains(name), "{error}");
    }
}
