//! Containers, traces, locks, configuration and the derivative checker.
#![allow(clippy::unwrap_used)]

mod support;

use quadric_core::random::SeedTree;
use quadric_core::{
    Container, ErrorKind, FORMAT, Ints, Overwrite, Result, State, Tensor, Visitor, load_state,
    read_file, save_state, write_atomically,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use support::scratch;

fn sample() -> Container {
    let mut c = Container::new("checkpoint");
    c.metadata
        .insert("config".into(), "tol = 1e-8\n\"ü\"".into());
    c.metadata
        .insert("__metadata__".into(), "an odd key".into());
    c.tensors.insert(
        "state/a".into(),
        Tensor::f64(vec![1.5, -0.0, f64::NAN, 1e-310]),
    );
    c.tensors.insert(
        "state/b".into(),
        Tensor::f32(vec![0.1, f32::INFINITY, -2.0]),
    );
    c.tensors
        .insert("state/n".into(), Tensor::u64(vec![u64::MAX, 0]));
    c.tensors.insert("state/empty".into(), Tensor::f64(vec![]));
    let m = Tensor::F64 {
        shape: vec![2, 3],
        data: (0..6).map(f64::from).collect(),
    };
    c.tensors.insert("m".into(), m);
    c
}

#[test]
fn containers_round_trip_bit_for_bit() {
    let c = sample();
    let bytes = c.to_bytes().unwrap();
    let back = Container::from_bytes(&bytes, "f").unwrap();
    assert_eq!(back.metadata, c.metadata);
    assert_eq!(
        back.to_bytes().unwrap(),
        bytes,
        "the bytes depend on the content only"
    );
    assert_eq!(format!("{back:?}"), format!("{c:?}"));
    let dir = scratch();
    let path = dir.path().join("a.qckpt");
    c.write(&path, Overwrite::Refuse).unwrap();
    assert_eq!(read_file(&path).unwrap(), bytes);
    assert_eq!(
        Container::read_kind(&path, "checkpoint")
            .unwrap()
            .to_bytes()
            .unwrap(),
        bytes
    );
    let e = Container::read_kind(&path, "model").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Malformed);
    assert!(
        e.to_string().contains("`checkpoint`; expected `model`"),
        "{e}"
    );
    let e = c.write(&path, Overwrite::Refuse).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    c.write(&path, Overwrite::Replace).unwrap();
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing is left behind"
    );
}

#[test]
fn t_c09_every_flipped_bit_is_detected() {
    let bytes = sample().to_bytes().unwrap();
    let mut stream = SeedTree::new(9).child("flips").stream(0);
    for _ in 0..1000 {
        let (at, bit) = (stream.below(bytes.len()), stream.below(8));
        let mut bad = bytes.clone();
        bad[at] ^= 1 << bit;
        let read = Container::from_bytes(&bad, "f");
        // A damaged `quadric.format` makes it a plain file; it is then of no kind that anyone asks for.
        let kind = read.as_ref().ok().and_then(Container::kind);
        assert_ne!(kind, Some("checkpoint"), "byte {at}, bit {bit}");
        if let Err(e) = read {
            assert_eq!(e.kind(), ErrorKind::Malformed);
            assert_eq!(e.place().unwrap().file, "f");
        }
    }
    for cut in 0..bytes.len() {
        assert!(
            Container::from_bytes(&bytes[..cut], "f").is_err(),
            "cut at {cut}"
        );
    }
}

#[test]
fn newer_formats_are_refused_politely() {
    let text = format!(
        r#"{{"__metadata__":{{"quadric.format":"{}","kind":"model"}}}}"#,
        FORMAT + 1
    );
    let e = Container::from_bytes(&with_header(&text, &[]), "new.qmodel").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Malformed);
    assert!(e.to_string().contains("format 2 is newer than 1"), "{e}");
    for bad in ["0", "-1", "one", ""] {
        let text = format!(r#"{{"__metadata__":{{"quadric.format":"{bad}"}}}}"#);
        assert!(Container::from_bytes(&with_header(&text, &[]), "f").is_err());
    }
}

fn with_header(text: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn t_f04_hostile_headers() {
    let tensor = |dtype: &str, shape: &str, range: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{range}}}}}"#)
    };
    let nested = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let twice = r#"{"a":{"dtype":"F64","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}}"#;
    let headers = [
        tensor("F64", "[4294967296,4294967296]", "[0,0]"),
        tensor("F64", "[18446744073709551615,2]", "[0,0]"),
        tensor("F64", "[1]", "[8,0]"),
        tensor("F64", "[1]", "[0,16]"),
        tensor("F64", "[-1]", "[0,8]"),
        tensor("F65", "[1]", "[0,8]"),
        tensor("I16", "[4]", "[0,8]"),
        tensor("F16", "[3]", "[0,8]"),
        nested,
        twice.into(),
        r#"{"__metadata__":{"k":"1","k":"2"}}"#.into(),
        "[]".into(),
        "{".into(),
        String::new(),
    ];
    for header in &headers {
        let e = Container::from_bytes(&with_header(header, &[0; 8]), "f").unwrap_err();
        assert_eq!(
            e.kind(),
            ErrorKind::Malformed,
            "{}",
            &header[..header.len().min(80)]
        );
    }
    for length in [0, 7, 9, 100_000_001, u64::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{}      ");
        assert!(
            Container::from_bytes(&bytes, "f").is_err(),
            "header length {length}"
        );
    }
    let not_text = with_header("{\"\u{1}\":1}", &[]);
    assert!(Container::from_bytes(&not_text, "f").is_err());
    assert!(
        Container::from_bytes(
            &[
                8, 0, 0, 0, 0, 0, 0, 0, b'{', 0xff, b'}', b' ', b' ', b' ', b' ', b' '
            ],
            "f"
        )
        .is_err()
    );
}

/// Every half is what its bits say, by the definition of the format.
#[test]
fn narrow_types_are_widened() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let payload: Vec<u8> = all.iter().flat_map(|b| b.to_le_bytes()).collect();
    let read = |dtype: &str| {
        let header =
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":[256,256],"data_offsets":[0,131072]}}}}"#);
        let read = Container::from_bytes(&with_header(&header, &payload), "f").unwrap();
        match &read.tensors["a"] {
            Tensor::F32 { shape, data } if *shape == [256, 256] => data.clone(),
            other => panic!("{other:?}"),
        }
    };
    for (dtype, width) in [("F16", 10), ("BF16", 7)] {
        let bias = (1 << (14 - width)) - 1;
        for (&bits, found) in all.iter().zip(read(dtype)) {
            let exponent = i32::from(bits & 0x7fff) >> width;
            let fraction = f64::from(bits & ((1 << width) - 1)) / f64::from(1 << width);
            let size = match exponent {
                0 => fraction * 2_f64.powi(1 - bias),
                e if e == 2 * bias + 1 && fraction == 0.0 => f64::INFINITY,
                e if e == 2 * bias + 1 => f64::NAN,
                e => (1.0 + fraction) * 2_f64.powi(e - bias),
            };
            let expected = if bits >> 15 == 0 { size } else { -size };
            let found = f64::from(found);
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{dtype} {bits:#x}: {found}, expected {expected}"
            );
        }
    }
    let header = r#"{"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}"#;
    let count = |v: i64| Container::from_bytes(&with_header(header, &v.to_le_bytes()), "f");
    assert_eq!(count(7).unwrap().tensors["a"].shape(), [0_usize; 0]);
    let text = count(-7).unwrap_err().to_string();
    assert!(text.contains("`a` holds I64"), "{text}");
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/cases/checkpoint")
}

/// Runs every case of the table.
#[test]
fn checkpoint_cases() {
    let text = std::fs::read_to_string(cases().join("cases.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let mut seen = 0;
    for case in table["case"].as_array().unwrap() {
        for (file, expected) in case["files"].as_table().unwrap() {
            let read = Container::read(&cases().join(file));
            let expected = expected.as_table().unwrap();
            if let Some(kind) = expected.get("error") {
                let e = read.expect_err(file);
                assert_eq!(e.kind().name(), kind.as_str().unwrap(), "{file}");
                assert!(e.place().unwrap().file.ends_with(file.as_str()));
            } else {
                let container = read.unwrap();
                for (name, rows) in expected {
                    check_rows(&container.tensors[name], rows.as_array().unwrap(), file);
                }
                assert_eq!(container.tensors.len(), expected.len(), "{file}");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
}

fn check_rows(tensor: &Tensor, rows: &[toml::Value], file: &str) {
    let rows: Vec<&Vec<toml::Value>> = rows.iter().map(|r| r.as_array().unwrap()).collect();
    assert_eq!(tensor.shape(), [rows.len(), rows[0].len()], "{file}");
    let numbers = rows
        .into_iter()
        .flatten()
        .map(|v| v.as_integer().unwrap() as f32);
    match tensor {
        Tensor::F32 { data, .. } => assert_eq!(*data, numbers.collect::<Vec<f32>>(), "{file}"),
        other => panic!("{file} holds {}", other.dtype()),
    }
}

#[test]
fn atomic_writing_is_all_or_nothing() {
    let dir = scratch();
    let path = dir.path().join("out.txt");
    write_atomically(&path, Overwrite::Refuse, |f| f.write_all(b"one")).unwrap();
    let failing = write_atomically(&path, Overwrite::Replace, |f| {
        f.write_all(b"half of tw")?;
        Err(io::Error::new(io::ErrorKind::StorageFull, "disk full"))
    });
    let e = failing.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(e.to_string().contains("out.txt"), "{e}");
    assert!(format!("{e:?}").contains("disk full"), "{e:?}");
    assert_eq!(read_file(&path).unwrap(), b"one");
    // The remains of a dead writer go, those of a living one and other people's files stay.
    let dead = dir.path().join(".out.txt.00112233445566aa.tmp");
    let living = dir.path().join(".out.txt.00112233445566bb.tmp");
    let foreign = dir.path().join(".out.txt.backup.tmp");
    for p in [&dead, &living, &foreign] {
        std::fs::write(p, "x").unwrap();
    }
    let held = std::fs::File::open(&living).unwrap();
    held.lock().unwrap();
    write_atomically(&path, Overwrite::Replace, |f| f.write_all(b"two")).unwrap();
    assert_eq!(read_file(&path).unwrap(), b"two");
    assert_eq!(
        (dead.exists(), living.exists(), foreign.exists()),
        (false, true, true)
    );
}

#[test]
fn t_f11_odd_paths() {
    let dir = scratch();
    let write = |p: &Path| write_atomically(p, Overwrite::Replace, |f| f.write_all(b"x"));
    for path in [
        dir.path().to_owned(),
        dir.path().join("missing/out"),
        dir.path().join("x".repeat(300)),
        PathBuf::from("/"),
        PathBuf::from(""),
        dir.path().join(".."),
    ] {
        let e = write(&path).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io, "{path:?}");
        assert!(std::error::Error::source(&e).is_some(), "{path:?}");
        assert_eq!(
            read_file(&path).unwrap_err().kind(),
            ErrorKind::Io,
            "{path:?}"
        );
    }
    if Path::new("/dev/full").exists() {
        let e = write(Path::new("/dev/full")).unwrap_err();
        assert!(format!("{e:?}").contains("/dev/full"), "{e:?}");
        assert!(read_file(Path::new("/dev/zero")).is_err());
        write(Path::new("/dev/null")).unwrap();
    }
    #[cfg(unix)]
    {
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link).unwrap();
        assert_eq!(std::fs::read(&real).unwrap(), b"x");
        assert!(link.symlink_metadata().unwrap().is_symlink());
    }
}

#[test]
fn shapes_are_checked_on_writing() {
    let mut c = Container::default();
    let wrong = Tensor::F64 {
        shape: vec![2, 2],
        data: vec![0.0; 3],
    };
    c.tensors = BTreeMap::from([("w".into(), wrong)]);
    assert_eq!(c.to_bytes().unwrap_err().kind(), ErrorKind::Shape);
}

/// The file of the first format, byte by byte: it must load for ever, and is still what is written.
#[test]
fn t_c09_golden_files_load() {
    let path = cases().join("format-1.safetensors");
    let golden = Container::read_kind(&path, "checkpoint").unwrap();
    assert_eq!(format!("{golden:?}"), format!("{:?}", sample()));
    assert_eq!(sample().to_bytes().unwrap(), read_file(&path).unwrap());
}

/// A state with parts of its own, as many as it likes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Groups(Vec<(Vec<f32>, Ints, Option<f64>)>);

impl State for Groups {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        let mut n = self.0.len();
        v.len(path, &mut n)?;
        self.0.resize(n, Default::default());
        for (i, group) in self.0.iter_mut().enumerate() {
            group.0.visit(&format!("{path}/{i}/a"), v)?;
            group.1.visit(&format!("{path}/{i}/b"), v)?;
            group.2.visit(&format!("{path}/{i}/c"), v)?;
        }
        Ok(())
    }
}

#[test]
fn states_round_trip() {
    let group = |k: usize| {
        let a = (0..k).map(|i| i as f32 * 0.3).collect();
        (
            a,
            Ints(vec![k as u64; 2]),
            k.is_multiple_of(2).then_some(f64::NAN),
        )
    };
    let mut saved = Container::new("checkpoint");
    // The second save overwrites the longer first one.
    for n in [5, 3, 0, 4] {
        let mut state = Groups((0..n).map(group).collect());
        saved.tensors.clear();
        save_state(&mut state, "state", &mut saved).unwrap();
        let mut back = Groups::default();
        load_state(&mut back, "state", &mut saved.clone(), "f").unwrap();
        assert_eq!(format!("{back:?}"), format!("{state:?}"));
    }
    type Damage = fn(&mut BTreeMap<String, Tensor>);
    let damages: [(Damage, &str); 5] = [
        (|t| drop(t.remove("state/2/a")), "`state/2/a` is missing"),
        (
            |t| drop(t.insert("state/9".into(), Tensor::u64(vec![1]))),
            "`state/9` is not part",
        ),
        (
            |t| drop(t.insert("state/1/a".into(), Tensor::f64(vec![0.5]))),
            "expected 1 of type F32",
        ),
        (
            |t| drop(t.insert("state#len".into(), Tensor::u64(vec![1 << 60]))),
            "impossible length",
        ),
        (
            |t| drop(t.insert("state#len".into(), Tensor::f64(vec![4.0]))),
            "no readable length",
        ),
    ];
    for (damage, part) in damages {
        let mut bad = saved.clone();
        damage(&mut bad.tensors);
        let e = load_state(&mut Groups::default(), "state", &mut bad, "f").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Malformed);
        assert!(e.to_string().contains(part), "{e}");
    }
}
