//! Networks from files.

use quadric_nn::Mode;
use quadric_nn::onnx::{self, Options};

/// A model is refused, or becomes a network with finite parameters, for as many examples as its operations allow.
pub fn onnx(input: &[u8]) {
    let Ok(network) = onnx::from_bytes(input, &Options::default()) else {
        return;
    };
    let parameters = network.initial::<f32>(0);
    assert_eq!(parameters.len(), network.layout().len());
    assert!(network.initial::<f64>(0).iter().all(|v| v.is_finite()));
    for (examples, mode) in [(3, Mode::Evaluate), (2, Mode::Train)] {
        if let Ok(program) = network.program(examples, mode) {
            assert!(program.outputs() > 0);
        }
    }
}
