//! Networks from files.

use quadric_nn::layers::{BatchNorm, Conv2d, Dense, batch_norm, conv2d, dense};
use quadric_nn::onnx::{self, Options};
use quadric_nn::{AxisOrder, Mode, Network, Port, Weights};

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

/// Weights are refused, or fit the network, are finite, and survive being written and read.
pub fn weights(input: &[u8]) {
    let network = Network::new([Port::floats("x", [2, 2, 1])], |scope, x| {
        let h = conv2d(scope, "conv", x[0], 2, [2, 1], &Conv2d::default());
        let h = batch_norm(scope, "norm", h, BatchNorm::default()).mean(&[1, 2]);
        vec![dense(scope, "fc", h, 3, &Dense::default())]
    })
    .expect("a network");
    for order in [AxisOrder::Own, AxisOrder::Torch] {
        let Ok(read) = Weights::<f64>::from_bytes(&network, input, "input", order) else {
            continue;
        };
        assert_eq!(read.parameters.len(), network.layout().len());
        assert_eq!(read.buffers.len(), network.buffers().len());
        let all = read.parameters.iter().chain(&read.buffers);
        assert!(all.into_iter().all(|v| v.is_finite()));
        let bytes = read
            .to_bytes(&network)
            .expect("what was read can be written");
        let again = Weights::from_bytes(&network, &bytes, "written", AxisOrder::Own);
        assert_eq!(again.expect("what was written can be read"), read);
    }
}
