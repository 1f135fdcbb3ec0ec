//! Checkpoints and models.

#[allow(dead_code)] // The command uses the rest.
#[path = "../../crates/quadric-cli/src/model_file.rs"]
mod model_file;

use model_file::ModelFile;
use quadric::core::{Budget, Container, DataMatrix, Driver, ErrorKind, Problem};
use quadric::models::{Glm, GlmOptions, Loss};
use quadric::opt::registry;
use serde_json::Value;

/// The content of a file, which writes itself down.
fn container(input: &[u8]) -> Option<Container> {
    let container = Container::from_bytes(input, "input").ok()?;
    let bytes = container.to_bytes().expect("what was read can be written");
    let again = Container::from_bytes(&bytes, "written").expect("what was written can be read");
    // NaN differs from itself, its bits do not.
    assert_eq!(again.to_bytes().expect("written once"), bytes);
    assert_eq!(again.metadata, container.metadata);
    Some(container)
}

/// Eight rows, two features, an intercept: every method applies.
fn problem() -> Glm<f64> {
    let x: Vec<f64> = (0..16).map(|i| f64::from(i * 7 % 11) / 4.0).collect();
    let y: Vec<f64> = (0..8).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
    let options = GlmOptions {
        loss: Loss::Logistic,
        l2: 1e-2,
        ..GlmOptions::default()
    };
    let x = DataMatrix::dense(x, 8, 2).expect("eight rows of two");
    Glm::new(x, &y, None, &options).expect("a problem with an optimum")
}

/// Makes the buffers that the matrix library keeps for each thread: 220 MB, touched only as far as they are used.
pub fn warm_up() {
    let problem = problem();
    let method = registry::build::<f64>("cubic-newton", &Value::Null).expect("the defaults");
    let outcome = method.run(&mut Driver::default(), problem.start(), &problem);
    assert!(outcome.is_ok_and(|o| o.counts.dense_hessians > 0));
}

/// A checkpoint is refused, or the run goes on from it and ends at a finite point.
pub fn checkpoint(input: &[u8]) {
    let Some(mut container) = container(input) else {
        return;
    };
    let name = container.metadata.get("identity.method").cloned();
    let Some(Ok(entry)) = name.as_deref().map(registry::find) else {
        return;
    };
    let problem = problem();
    for (key, value) in [
        ("kind", "checkpoint"),
        ("seed", "0"),
        ("scalar", "f64"),
        ("problem", problem.name()),
        ("dim", &problem.dim().to_string()),
    ] {
        container.metadata.insert(key.into(), value.into());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.qckpt");
    let bytes = container.to_bytes().expect("what was read can be written");
    std::fs::write(&path, bytes).expect("a file");
    let mut driver = Driver {
        budget: Budget {
            evaluations: Some(500),
            ..Budget::default()
        },
        resume: Some(path),
        force_resume: true,
        ..Driver::default()
    };
    let method = entry.build::<f64>(&Value::Null).expect("the defaults");
    match method.run(&mut driver, problem.start(), &problem) {
        Ok(outcome) => assert!(outcome.x.iter().all(|v| v.is_finite()), "{outcome:?}"),
        Err(e) => assert_ne!(e.kind(), ErrorKind::Internal, "{e:?}"),
    }
}

/// A model is refused, or it predicts and writes itself down.
pub fn model(input: &[u8]) {
    let Some(container) = container(input) else {
        return;
    };
    let Ok(file) = ModelFile::from_container(&container, "input") else {
        return;
    };
    let again = file.to_container().expect("what was read can be written");
    let again = ModelFile::from_container(&again, "written").expect("what was written can be read");
    assert_eq!(format!("{:?}", again.model), format!("{:?}", file.model));
    assert_eq!(again.features, file.features);
    let d = file.dim();
    let x = vec![0.5; 3 * d];
    let x = DataMatrix::dense(x, 3, d).expect("three rows");
    if let Ok(prediction) = file.model.predict(&x) {
        assert_eq!(prediction.predictions.len(), 3);
        assert!(prediction.predictions.iter().all(|v| !v.is_nan()));
    }
}
