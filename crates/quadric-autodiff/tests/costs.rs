//! What derivatives of networks cost: products of matrices and convolutions, counted exactly, and memory.
//!
//! A layer whose input depends on parameters takes three products the size of its own for a gradient, and six for a Hessian
//! product at a prepared point, four for a Gauss-Newton product; the first layer takes two of each.

mod networks;

use networks::programs::{self, Network};
use quadric_autodiff::{Array, Data, Executable, Program};
use std::collections::HashMap;

fn gradient_and_product(network: &Network) -> (Program, Program) {
    let wrt = network.names();
    let gradient = network.loss.grad(&wrt).expect("names");
    let product = gradient.linearize(&wrt).expect("names");
    (gradient, product)
}

/// Operations of the products of a printed program: all of them, and those that depend on directions.
fn products(program: &Program) -> (usize, usize) {
    let mut values: HashMap<String, (Vec<usize>, bool)> = HashMap::new();
    let (mut all, mut along) = (0, 0);
    for line in program.to_string().lines() {
        let Some((result, operation)) = line.split_once(" = ") else {
            continue;
        };
        assert!(
            !operation.starts_with("scan"),
            "what a scan does is not printed"
        );
        let (name, t) = result.split_once(' ').expect("a name and a type");
        let shape = t.split(['[', ']']).nth(1).expect("a shape").split(", ");
        let shape: Vec<usize> = shape.filter_map(|n| n.parse().ok()).collect();
        let args: Vec<&(Vec<usize>, bool)> = operation
            .split(' ')
            .filter_map(|word| values.get(word))
            .collect();
        let depends = operation.starts_with("direction") || args.iter().any(|a| a.1);
        let entries = |s: &[usize]| s.iter().product::<usize>();
        let cost = match operation.split(' ').next() {
            Some("matmul") => 2 * entries(&shape) * args[0].0.last().expect("a matrix"),
            Some(name) if name.starts_with("convolution") => {
                // Two are images, the smaller is the output; the third is the kernel of 3 x 3.
                let mut three = [&shape[..], &args[0].0, &args[1].0];
                three.sort_by_key(|s| (s[..2] == [3, 3], s[1]));
                2 * entries(&three[0][..3]) * entries(three[2])
            }
            _ => 0,
        };
        all += cost;
        along += if depends { cost } else { 0 };
        values.insert(name.to_owned(), (shape, depends));
    }
    (all, along)
}

/// `first`: products of the layers whose input is data; `others`: all others.
fn check(name: &str, network: &Network, first: usize, others: usize) {
    let (gradient, product) = gradient_and_product(network);
    let exact = 2 * first + 3 * others;
    assert_eq!(products(&gradient).0, exact, "gradient of {name}");
    let (all, along) = products(&product);
    assert_eq!(along, 2 * first + 6 * others, "product of {name}");
    assert!(all - along <= exact, "what is prepared of {name}");
    let (_, along) = products(&network.gauss_newton);
    assert_eq!(
        along,
        2 * first + 4 * others,
        "Gauss-Newton product of {name}"
    );
    assert!(
        gradient.flops() > exact as u64,
        "{name} has other operations"
    );
    assert!(product.flops_along_directions() > along as u64, "{name}");
}

#[test]
fn dense_layers() {
    let network = programs::mlp(6, &[5, 7, 4, 10]).expect("shapes fit");
    check("mlp", &network, 2 * 6 * 5 * 7, 2 * 6 * (7 * 4 + 4 * 10));
}

#[test]
fn convolutions() {
    let network = programs::resnet(2, 8, 1, 4).expect("shapes fit");
    let layer =
        |side: usize, inputs: usize, outputs: usize| 2 * 2 * side * side * 9 * inputs * outputs;
    let others = [
        (8, 4, 4),
        (8, 4, 4),
        (4, 4, 8),
        (4, 8, 8),
        (2, 8, 16),
        (2, 16, 16),
    ];
    let others: usize = others.iter().map(|&(s, m, n)| layer(s, m, n)).sum();
    check("resnet", &network, layer(8, 3, 4), others + 2 * 2 * 16 * 10);
}

#[test]
fn attention() {
    let (batch, steps, width, layers) = (2, 3, 8, 2);
    let network = programs::transformer(batch, steps, width, 2, layers).expect("shapes fit");
    let dense = |m: usize, n: usize| 2 * batch * steps * m * n;
    let bilinear = 2 * batch * steps * steps * width;
    let layer =
        dense(width, 3 * width) + dense(width, width) + 2 * dense(width, 4 * width) + 2 * bilinear;
    check(
        "transformer",
        &network,
        0,
        layers * layer + 2 * batch * width * 10,
    );
}

/// Products inside a scan are what grows with the batch and with two widths at once.
#[test]
fn recurrent_layers() {
    let steps = 4;
    let cost = |batch: usize, inputs: usize, hidden: usize| {
        let network = programs::lstm(batch, steps, inputs, hidden).expect("shapes fit");
        let (gradient, product) = gradient_and_product(&network);
        [gradient.flops(), product.flops_along_directions()].map(|n| n as i64)
    };
    let grown = |inputs: usize, hidden: usize| {
        let (more, less) = (cost(3, inputs, hidden), cost(2, inputs, hidden));
        [more[0] - less[0], more[1] - less[1]]
    };
    let (small, wide, long, both) = (grown(2, 5), grown(3, 5), grown(2, 6), grown(3, 6));
    let longer = grown(2, 7);
    let per_gate = 2 * 4 * steps as i64;
    for (i, (inner, what)) in [(3, "gradient"), (6, "product")].into_iter().enumerate() {
        let mixed = both[i] - wide[i] - long[i] + small[i];
        assert_eq!(mixed, 2 * per_gate, "{what}: inputs times their weights");
        let bent = longer[i] - 2 * long[i] + small[i];
        assert_eq!(
            bent,
            2 * inner * per_gate,
            "{what}: states times their weights"
        );
    }
}

/// Element-wise work is small beside products in layers of a usual size.
#[test]
fn costs_of_dense_layers_follow_the_formula() {
    let network = programs::mlp(512, &[784, 512, 512, 10]).expect("shapes fit");
    let (gradient, product) = gradient_and_product(&network);
    let layer = |m: u64, n: u64| 2 * 512 * m * n;
    let (first, others) = (layer(784, 512), layer(512, 512) + layer(512, 10));
    let close = |found: u64, exact: u64| found >= exact && found < exact + exact / 100;
    let found = gradient.flops();
    assert!(close(found, 2 * first + 3 * others), "{found}");
    let along = product.flops_along_directions();
    assert!(close(along, 2 * first + 6 * others), "{along}");
    let along = network.gauss_newton.flops_along_directions();
    assert!(close(along, 2 * first + 4 * others), "{along}");
}

/// The squared length of an outer product does not need the product, nor the arrangement it is in, and what is cut out of one
/// part of a join does not need the others.
#[test]
fn what_need_not_be_computed_costs_nothing() {
    let program = Program::trace(|t| {
        let (a, b) = (t.input("a", [1, 30]), t.input("b", [1, 50]));
        let outer = a.transpose().matmul(b).reshape([1500]);
        let joined = outer.concat(&[b.matmul(t.input("c", [50, 50])).reshape([50])], 0);
        let square = joined.slice(0, 0..1500).square().sum_all();
        assert!(square.is(a.square().sum_all() * b.square().sum_all()));
        assert!(!square.is(b.square().sum_all()));
        vec![square]
    })
    .expect("shapes fit");
    // Squares and their sums, and one product.
    assert!(program.flops() <= 2 * (30 + 50) + 1, "{}", program.flops());
    let (a, b, c) = (vec![2.0; 30], vec![3.0; 50], vec![1.0; 2500]);
    let given = [Data::Float(&a[..]), Data::Float(&b), Data::Float(&c)];
    let found = program.run::<f64>(&given).expect("a value");
    assert_eq!(found, vec![Array::Float(vec![120.0 * 450.0])]);
}

/// On images that do not fit in a cache, more than a tenth of the memory is spared.
#[test]
fn computing_again_spares_memory() {
    let network = programs::resnet(16, 32, 1, 16).expect("shapes fit");
    let product = network.product();
    let fast = Executable::<f32>::new(&product).expect("real outputs");
    let small = Executable::<f32>::compact(&product).expect("real outputs");
    let (fast, small) = (fast.memory(), small.memory());
    assert!(small < fast - fast / 10, "{small} of {fast} bytes");
}

/// Where nothing is kept for the directions, a product takes little more memory than the gradient, whose parts drop what they made.
#[test]
fn a_product_without_memory_takes_little_more_than_a_gradient() {
    let network = programs::transformer(32, 64, 128, 4, 2).expect("shapes fit");
    let wrt = network.names();
    let gradient = network.loss.value_and_grad(&wrt).expect("names");
    let gradient = Executable::<f32>::new(&gradient).expect("real outputs");
    let product = Executable::<f32>::compact(&network.product()).expect("real outputs");
    let (product, gradient) = (product.memory(), gradient.memory());
    assert!(
        2 * product <= 5 * gradient,
        "{product} and {gradient} bytes"
    );
}

/// Sums over all steps of products, and of what is added up from them, are products; and `compact` takes a recurrent network
/// through its steps a few sequences at a time.
#[test]
fn a_recurrent_product_takes_little_more_than_its_gradient() {
    let network = programs::lstm(64, 64, 32, 128).expect("shapes fit");
    let wrt = network.names();
    let gradient = network.loss.value_and_grad(&wrt).expect("names");
    let gradient = Executable::<f32>::new(&gradient).expect("real outputs");
    let product = network.product();
    let fast = Executable::<f32>::new(&product).expect("real outputs");
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let small = one_thread
        .expect("a thread")
        .install(|| Executable::<f32>::compact(&product).expect("real outputs"));
    let (fast, small, gradient) = (fast.memory(), small.memory(), gradient.memory());
    assert!(2 * fast <= 5 * gradient, "{fast} and {gradient} bytes");
    assert!(small < 2 * gradient, "{small} and {gradient} bytes");
}

#[test]
fn sums_of_added_products_are_products() {
    let program = Program::trace(|t| {
        let (a, b) = (t.input("a", [5, 3, 2]), t.input("b", [5, 2, 4]));
        let both = a.matmul(b) - a.square().matmul(b.exp());
        vec![both.sum(&[0])]
    });
    let text = program.expect("shapes fit").to_string();
    assert!(!text.contains("sum"), "{text}");
    assert_eq!(text.matches("matmul").count(), 2, "{text}");
}
