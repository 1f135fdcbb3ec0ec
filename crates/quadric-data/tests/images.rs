//! Images: IDX arrays with their files of labels, and the records of CIFAR-10 and CIFAR-100.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{mutate, text_options};
use proptest::prelude::*;
use quadric_data::{
    Dataset, Format, Limits, Missing, ReadOptions, Target, TroubleKind, describe, encode, read,
    read_bytes,
};
use quadric_linalg::{DataMatrix, Error, ErrorKind};
use std::fs;
use std::io::Write;
use std::path::Path;

fn idx(code: u8, shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn load(bytes: &[u8]) -> quadric_linalg::Result<Dataset> {
    read_bytes("t.idx", bytes.to_vec(), &ReadOptions::default())
}

fn rows(data: &Dataset) -> Vec<Vec<f64>> {
    describe(data).dense_rows.unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn options(target: Target) -> ReadOptions {
    ReadOptions {
        target,
        ..ReadOptions::default()
    }
}

#[test]
fn idx_types() {
    let table: &[(u8, Vec<u8>, f64)] = &[
        (0x08, vec![200], 200.0),
        (0x09, vec![0xff], -1.0),
        (0x0b, (-300i16).to_be_bytes().to_vec(), -300.0),
        (0x0c, i32::MIN.to_be_bytes().to_vec(), -2_147_483_648.0),
        (0x0d, (-1.5f32).to_be_bytes().to_vec(), -1.5),
        (0x0e, 0.1f64.to_be_bytes().to_vec(), 0.1),
    ];
    for (code, bytes, value) in table {
        for shape in [&[1][..], &[1, 1], &[1, 1, 1, 1, 1, 1, 1]] {
            // By its name and by its contents.
            for name in ["t-idx1-ubyte", "t.idx3-float", "t.idx", "anything"] {
                let file = idx(*code, shape, bytes);
                let data = read_bytes(name, file, &ReadOptions::default()).unwrap();
                assert_eq!(rows(&data), [[*value]], "{code:x} {shape:?} {name}");
            }
        }
    }
}

#[test]
fn idx_refused() {
    let table: &[(Vec<u8>, &str)] = &[
        (vec![], "byte 0: the file ends before"),
        (vec![0, 0, 8], "byte 3: the file ends before"),
        (b"1,2\n3,4\n".to_vec(), "byte 0: 31 2c, where"),
        (idx(0x0a, &[1], &[1]), "byte 2: 0a is no type"),
        (idx(0x08, &[], &[1]), "byte 3: the array has no dimensions"),
        (
            idx(0x08, &[2, 2], &[])[..9].to_vec(),
            "byte 9: the file ends in its header, which takes 12 bytes",
        ),
        (
            vec![0, 0, 8, 255, 0],
            "byte 5: the file ends in its header, which takes 1024 bytes",
        ),
        (
            idx(0x08, &[0, 3], &[]),
            "no rows: byte 4: dimension 1 of 0 x 3 is 0",
        ),
        (
            idx(0x08, &[3, 2, 0], &[]),
            "no values: byte 12: dimension 3 of 3 x 2 x 0 is 0",
        ),
        (
            idx(0x0e, &[u32::MAX; 7], &[0; 8]),
            "byte 4: the shape 4294967295 x 4294967295 x 4294967295 x 4294967295 x 4294967295 x 4294967295 x ... is beyond",
        ),
        // The product of the dimensions just fits, the bytes do not.
        (
            idx(0x0e, &[1 << 31, 1 << 31, 2], &[]),
            "is beyond all memory",
        ),
        (
            idx(0x08, &[2, 3], &[1; 5]),
            "byte 17: the file ends too early; the shape 2 x 3 takes 18 bytes",
        ),
        (
            idx(0x0b, &[2, 3], &[1; 14]),
            "byte 24: 2 bytes follow the last value of the shape 2 x 3",
        ),
        (
            idx(0x0d, &[1, 2], &[0x7f, 0x80, 0, 0, 0, 0, 0, 0]),
            "row 1, column 1 is inf",
        ),
        (
            idx(0x0d, &[1, 2], &[0, 0, 0, 0, 0x7f, 0xc0, 0, 0]),
            "no value",
        ),
    ];
    for (bytes, words) in table {
        let error = load(bytes).expect_err(words);
        assert!(error.to_string().contains(words), "{error:?}");
        assert!(error.to_string().contains("t.idx"), "{error:?}");
        let kinds = [ErrorKind::Malformed, ErrorKind::Data];
        assert!(kinds.contains(&error.kind()), "{error:?}");
    }
}

/// Dense above a quarter of values that are not zero, sparse below; the same values by both ways into memory.
#[test]
fn storage_goes_by_density() {
    for (filled, is_dense) in [(0, false), (1, false), (2, true), (8, true)] {
        let mut values = [0; 8];
        values[8 - filled..].fill(7);
        let wide: Vec<u8> = values.iter().flat_map(|v| [0, *v]).collect();
        // One more column, which is the target where there is one.
        let column: Vec<u8> = values
            .chunks(4)
            .flat_map(|row| [&[1], row].concat())
            .collect();
        let files = [
            (idx(0x08, &[2, 2, 2], &values), Target::Guess),
            (idx(0x0b, &[2, 4], &wide), Target::None),
            (idx(0x08, &[2, 5], &column), Target::Column("1".into())),
        ];
        let all =
            files.map(|(bytes, target)| read_bytes("t.idx", bytes, &options(target)).unwrap());
        for data in &all {
            let dense = matches!(data.x, DataMatrix::Dense(_));
            assert_eq!(dense, is_dense, "{filled}");
            assert_eq!(format!("{:?}", data.x), format!("{:?}", all[0].x));
        }
        assert_eq!(all[2].target, [1.0, 1.0]);
        assert_eq!(all[2].feature_names, ["2", "3", "4", "5"]);
    }
}

#[test]
fn constant_pixels_are_remarked() {
    let data = load(&idx(0x08, &[3, 4], &[0, 5, 1, 0, 0, 5, 2, 0, 0, 5, 3, 0])).unwrap();
    let told: Vec<String> = data.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "2 of 4 features are zero in every row",
            "feature 2 is 5 in every row"
        ]
    );
    assert_eq!(data.feature_names, ["1", "2", "3", "4"]);
}

/// Images of two rows with labels of the given number, under the given names.
fn pair(folder: &Path, images: &str, labels: &str, count: u8) {
    let put = |name: &str, bytes: Vec<u8>| {
        let bytes = if name.ends_with(".gz") {
            gz(&bytes)
        } else {
            bytes
        };
        fs::write(folder.join(name), bytes).unwrap();
    };
    put(images, idx(0x08, &[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]));
    let values: Vec<u8> = (0..count).map(|i| 9 - i).collect();
    put(labels, idx(0x08, &[u32::from(count)], &values));
}

#[test]
fn labels_lie_beside_the_images() {
    for (images, labels) in [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"),
        ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte.gz"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        pair(folder.path(), images, labels, 2);
        let load = |options: &ReadOptions| read(&folder.path().join(images), options).unwrap();
        let data = load(&ReadOptions::default());
        assert_eq!((data.rows(), data.features()), (2, 4));
        assert_eq!(data.target, [9.0, 8.0], "{images} {labels}");
        assert!(load(&options(Target::None)).target.is_empty());
        assert_eq!(
            load(&options(Target::Column("2".into()))).target,
            [2.0, 6.0]
        );
        // Without a folder there is nothing beside it.
        let bytes = fs::read(folder.path().join(images)).unwrap();
        let alone = read_bytes(images, bytes, &ReadOptions::default()).unwrap();
        assert!(alone.target.is_empty());
        // The labels themselves are a column of numbers.
        let labels = read(&folder.path().join(labels), &ReadOptions::default()).unwrap();
        assert_eq!(rows(&labels), [[9.0], [8.0]]);
    }
}

#[test]
fn labels_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = ("a-images-idx3-ubyte", "a-labels-idx1-ubyte");
    let load = |options: &ReadOptions| read(&folder.path().join(images), options);
    let refused = |options: &ReadOptions| -> Error { load(options).unwrap_err() };
    let default = ReadOptions::default();

    pair(folder.path(), images, labels, 3);
    let error = refused(&default);
    for words in [images, labels, "holds 3 labels", "holds 2 rows"] {
        assert!(error.message().contains(words), "{error:?}");
    }
    fs::write(folder.path().join(labels), idx(0x08, &[2], &[1])).unwrap();
    let error = refused(&default);
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(
        error.to_string().contains("a-labels-idx1-ubyte: byte 9"),
        "{error:?}"
    );
    fs::write(folder.path().join(labels), idx(0x08, &[2, 2], &[1; 4])).unwrap();
    assert!(refused(&default).message().contains("has 2 columns"));

    fs::rename(folder.path().join(labels), folder.path().join("elsewhere")).unwrap();
    let error = refused(&default);
    assert_eq!(error.kind(), ErrorKind::Argument);
    for words in [images, labels, "--labels FILE"] {
        assert!(error.to_string().contains(words), "{error:?}");
    }
    assert!(load(&options(Target::None)).unwrap().target.is_empty());
    let report = ReadOptions {
        missing: Missing::Report,
        ..default.clone()
    };
    let problems = load(&report).unwrap().problems;
    assert!(problems.iter().any(|p| p.kind == TroubleKind::NoTarget));

    // A file that is named is read whatever it is called.
    for (name, bytes) in [
        ("elsewhere", idx(0x0b, &[2, 1], &[0, 3, 0, 4])),
        ("labels.csv", b"3\n4\n".to_vec()),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        let named = ReadOptions {
            labels: Some(folder.path().join(name)),
            ..default.clone()
        };
        assert_eq!(load(&named).unwrap().target, [3.0, 4.0]);
    }
}

#[test]
fn limits_hold_for_images_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = ("a-images-idx3-ubyte.gz", "a-labels-idx1-ubyte.gz");
    pair(folder.path(), images, labels, 2);
    let zeros = idx(0x08, &[20 << 20], &vec![0; 20 << 20]);
    let with = |limits: Limits| {
        let options = ReadOptions {
            limits,
            ..ReadOptions::default()
        };
        read(&folder.path().join(images), &options)
    };
    assert!(with(Limits::default()).is_ok());
    let bytes = Limits {
        bytes: 20,
        ..Limits::default()
    };
    assert_eq!(with(bytes).unwrap_err().kind(), ErrorKind::Resource);
    fs::write(folder.path().join(labels), gz(&zeros)).unwrap();
    let error = with(Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resource);
    assert!(error.message().contains("labels"), "{error:?}");
}

/// Records with these labels; pixel j of record i is `i + j`, without the part that a byte cannot hold.
fn cifar(labels: &[&[u8]]) -> Vec<u8> {
    let record = |(i, labels): (usize, &&[u8])| {
        let pixels = (0..3072).map(move |j| (i + j) as u8);
        labels.iter().copied().chain(pixels).collect::<Vec<u8>>()
    };
    labels.iter().enumerate().flat_map(record).collect()
}

#[test]
fn cifar_by_name_and_by_option() {
    let ten = cifar(&[&[9], &[0], &[3]]);
    let hundred = cifar(&[&[19, 99], &[0, 5]]);
    for name in ["data_batch_1.bin", "train.bin.gz", "TEST.BIN"] {
        let bytes = if name.ends_with(".gz") {
            gz(&ten)
        } else {
            ten.clone()
        };
        let data = read_bytes(name, bytes, &ReadOptions::default()).unwrap();
        assert_eq!((data.rows(), data.features()), (3, 3072));
        assert_eq!(data.target, [9.0, 0.0, 3.0]);
        assert!(matches!(data.x, DataMatrix::Dense(_)));
        assert_eq!(rows(&data)[2][..3], [2.0, 3.0, 4.0]);
    }
    let data = read_bytes("train.bin", hundred.clone(), &ReadOptions::default()).unwrap();
    assert_eq!((data.features(), data.target), (3072, vec![99.0, 5.0]));
    let options = |format, target: Target| ReadOptions {
        target,
        ..text_options(format)
    };
    let with =
        |target: Target| read_bytes("x", hundred.clone(), &options(Format::Cifar100, target));
    for (target, labels) in [
        (Target::None, vec![]),
        (Target::Guess, vec![99.0, 5.0]),
        (Target::Column("fine".into()), vec![99.0, 5.0]),
        (Target::Column("coarse".into()), vec![19.0, 0.0]),
        (Target::Column("1".into()), vec![19.0, 0.0]),
    ] {
        assert_eq!(with(target).unwrap().target, labels);
    }
    let error = with(Target::Column("3".into())).unwrap_err();
    assert!(error.to_string().contains("coarse or fine"), "{error:?}");
    let weighted = ReadOptions {
        weight: Some("1".into()),
        ..text_options(Format::Cifar10)
    };
    let error = read_bytes("x", ten.clone(), &weighted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    // The name alone says nothing: text stays text.
    let text = read_bytes("t.bin", b"1 1:2\n".to_vec(), &ReadOptions::default());
    assert_eq!(text.unwrap().features(), 1);
    let array = read_bytes("t.bin", idx(0x08, &[1], &[4]), &ReadOptions::default());
    assert_eq!(rows(&array.unwrap()), [[4.0]]);
}

#[test]
fn cifar_refused() {
    let two = cifar(&[&[1], &[2]]);
    let wrong = cifar(&[&[1], &[10]]);
    let table: &[(&str, &[u8], &str)] = &[
        ("cifar10", b"", "holds no rows"),
        (
            "cifar10",
            &two[..6145],
            "byte 3073: record 2 has 3072 of 3073 bytes",
        ),
        (
            "cifar10",
            &wrong,
            "byte 3073: the label of record 2 is 10, above 9",
        ),
        (
            "cifar100",
            &cifar(&[&[1, 2], &[20, 99]]),
            "byte 3074: the coarse label of record 2 is 20, above 19",
        ),
        (
            "cifar100",
            &cifar(&[&[19, 100]]),
            "byte 1: the fine label of record 1 is 100, above 99",
        ),
    ];
    for (format, bytes, words) in table {
        let format = Format::from_name(format).unwrap();
        let error = read_bytes("t.dat", bytes.to_vec(), &text_options(format)).expect_err(words);
        assert!(error.to_string().contains(words), "{error:?}");
        assert!(error.to_string().contains("t.dat"), "{error:?}");
    }
    for (bytes, words) in [
        (&two[..6145], "record 2 has 3072 of 3073 bytes"),
        (&wrong[..], "record 2 is 10, above 9"),
    ] {
        let error = read_bytes("t.bin", bytes.to_vec(), &ReadOptions::default()).expect_err(words);
        assert_eq!(error.kind(), ErrorKind::Malformed);
        for words in [words, "not CIFAR-100", "--format"] {
            assert!(error.to_string().contains(words), "{error:?}");
        }
    }
}

#[test]
fn image_formats_are_read_only() {
    let data = load(&idx(0x08, &[1], &[4])).unwrap();
    for format in ["idx", "cifar10", "cifar100"] {
        let error = encode(&data, Format::from_name(format).unwrap()).unwrap_err();
        assert!(error.to_string().contains("read only"), "{error:?}");
    }
}

proptest! {
    #![proptest_config(common::seeded(200))]

    /// What a reader that knows nothing of storage gets from the same bytes.
    #[test]
    fn idx_values_survive(values in proptest::collection::vec(prop_oneof![3 => Just(0i16), 1 => any::<i16>()], 1..60), cols in 1usize..5) {
        let values = &values[..values.len() - values.len() % cols];
        prop_assume!(!values.is_empty());
        let shape = [(values.len() / cols) as u32, cols as u32];
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
        let data = load(&idx(0x0b, &shape, &bytes)).unwrap();
        let expected: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        prop_assert_eq!(rows(&data).concat(), expected);
        let bytes: Vec<u8> = values.iter().map(|v| v.to_be_bytes()[1]).collect();
        let expected: Vec<f64> = bytes.iter().map(|v| f64::from(*v)).collect();
        let data = load(&idx(0x08, &shape, &bytes)).unwrap();
        prop_assert_eq!(rows(&data).concat(), expected);
    }
}

#[test]
fn mutations_do_not_break_the_readers() {
    let seeds = [
        idx(0x08, &[3, 2, 2], &[0, 1, 2, 3, 4, 0, 0, 0, 9, 8, 7, 6]),
        idx(0x0d, &[2, 2], &[1; 16]),
        idx(0x0e, &[2], &[0x40; 16]),
        gz(&idx(0x0b, &[2, 1], &[0, 1, 2, 3])),
    ];
    mutate("idx", &seeds, 4000, |bytes| {
        for (name, target) in [
            ("mutant", Target::Guess),
            ("m.idx", Target::Column("1".into())),
        ] {
            drop(read_bytes(name, bytes.to_vec(), &options(target)));
        }
    });
    let seeds = [cifar(&[&[9], &[3]]), cifar(&[&[19, 99]])];
    mutate("cifar", &seeds, 1000, |bytes| {
        let load =
            |name: &str, options: &ReadOptions| drop(read_bytes(name, bytes.to_vec(), options));
        load("mutant.bin", &ReadOptions::default());
        load("mutant", &text_options(Format::Cifar10));
        load("mutant", &text_options(Format::Cifar100));
    });
}
