//! A state saved in memory: every number in the order of the visit, bit for bit.

use quadric_core::{Error, Result, SliceMut, State, Visitor};

/// The numbers of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    entries: Vec<(String, Vec<u64>)>,
}

impl Snapshot {
    /// Saves.
    pub(crate) fn of(state: &mut dyn State) -> Self {
        let mut saver = Saver(Self::default());
        state.visit("state", &mut saver).unwrap();
        saver.0
    }

    /// Overwrites every number of a state of the same kind.
    pub(crate) fn load(&self, state: &mut dyn State) {
        let mut loader = Loader {
            entries: &self.entries,
            next: 0,
        };
        state.visit("state", &mut loader).unwrap();
        assert_eq!(loader.next, self.entries.len(), "not everything was loaded");
    }
}

fn bits(v: &SliceMut<'_>) -> Vec<u64> {
    match v {
        SliceMut::F32(v) => v.iter().map(|v| u64::from(v.to_bits())).collect(),
        SliceMut::F64(v) => v.iter().map(|v| v.to_bits()).collect(),
    }
}

struct Saver(Snapshot);

impl Visitor for Saver {
    fn len(&mut self, path: &str, n: &mut usize) -> Result<()> {
        self.0.entries.push((path.to_owned(), vec![*n as u64]));
        Ok(())
    }
    fn floats(&mut self, path: &str, v: SliceMut<'_>) -> Result<()> {
        self.0.entries.push((path.to_owned(), bits(&v)));
        Ok(())
    }
    fn ints(&mut self, path: &str, v: &mut [u64]) -> Result<()> {
        self.0.entries.push((path.to_owned(), v.to_vec()));
        Ok(())
    }
}

struct Loader<'a> {
    entries: &'a [(String, Vec<u64>)],
    next: usize,
}

impl<'a> Loader<'a> {
    fn entry(&mut self, path: &str) -> Result<&'a [u64]> {
        let (saved, values) = &self.entries[self.next];
        self.next += 1;
        if saved == path {
            Ok(values)
        } else {
            Err(Error::malformed(path, format!("found {saved}")))
        }
    }
}

impl Visitor for Loader<'_> {
    fn len(&mut self, path: &str, n: &mut usize) -> Result<()> {
        *n = self.entry(path)?[0] as usize;
        Ok(())
    }
    fn floats(&mut self, path: &str, v: SliceMut<'_>) -> Result<()> {
        let saved = self.entry(path)?;
        assert_eq!(saved.len(), v.len(), "{path}");
        match v {
            SliceMut::F32(v) => v
                .iter_mut()
                .zip(saved)
                .for_each(|(v, b)| *v = f32::from_bits(*b as u32)),
            SliceMut::F64(v) => v
                .iter_mut()
                .zip(saved)
                .for_each(|(v, b)| *v = f64::from_bits(*b)),
        }
        Ok(())
    }
    fn ints(&mut self, path: &str, v: &mut [u64]) -> Result<()> {
        v.copy_from_slice(self.entry(path)?);
        Ok(())
    }
}
