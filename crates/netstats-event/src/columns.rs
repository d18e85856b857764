//! Payloads of one series as columns of whole numbers: what an archive keeps instead of many small archives. What comes
//! out of the columns is what went in, byte by byte: a payload that would not come back the same is not taken.

use crate::{DestinationId, Event, JobId, v1};

/// The numbers of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Every row has this one.
    Constant(u32),
    /// One after the other.
    Values(Vec<u32>),
}

impl Column {
    /// The number at `index`; 0 past the end.
    #[must_use]
    pub fn at(&self, index: usize) -> u32 {
        match self {
            Self::Constant(number) => *number,
            Self::Values(numbers) => numbers.get(index).copied().unwrap_or(0),
        }
    }

    /// Bytes of memory behind it.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Values(numbers) => numbers.capacity() * size_of::<u32>(),
        }
    }
}

/// A column that grows. It takes memory only if its numbers differ: most columns never do.
#[derive(Clone, Debug)]
pub(crate) struct GrowingColumn {
    length: usize,
    pub(crate) column: Column,
}

impl Default for GrowingColumn {
    fn default() -> Self {
        Self { length: 0, column: Column::Constant(0) }
    }
}

impl GrowingColumn {
    pub(crate) fn push(&mut self, number: u32) {
        match &mut self.column {
            Column::Constant(constant) if self.length == 0 => *constant = number,
            Column::Constant(constant) if *constant == number => {}
            Column::Constant(constant) => {
                let mut numbers = vec![*constant; self.length];
                numbers.push(number);
                self.column = Column::Values(numbers);
            }
            Column::Values(numbers) => numbers.push(number),
        }
        self.length += 1;
    }

    pub(crate) fn extend(&mut self, numbers: impl IntoIterator<Item = u32>) {
        numbers.into_iter().for_each(|number| self.push(number));
    }

    pub(crate) const fn len(&self) -> usize {
        self.length
    }
}

/// Payloads being taken apart into columns: of one kind, version, job and destination.
#[derive(Clone, Debug)]
pub struct ColumnWriter {
    columns: v1::BurstWriter,
}

impl ColumnWriter {
    /// For a kind and version that has columns; none for all others, whose payloads are kept as they are.
    #[must_use]
    pub fn of(kind: u16, version: u16) -> Option<Self> {
        v1::has_columns(kind, version).then(|| Self { columns: v1::BurstWriter::default() })
    }

    /// Takes a payload apart. False, and nothing is changed, if it would not come back byte by byte, or is of another
    /// job or destination than the first one.
    #[must_use]
    pub fn push(&mut self, payload: &[u8]) -> bool {
        self.columns.push(payload)
    }

    /// Payloads taken.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.rows()
    }

    /// Numbers of the longest column.
    #[must_use]
    pub fn values(&self) -> usize {
        self.columns.values()
    }

    /// About when the last payload's measurement was over, as it tells itself, in milliseconds since 1970: the recorded
    /// time is a little later.
    #[must_use]
    pub fn last_end_ms(&self) -> i64 {
        self.columns.last_end_ms()
    }

    /// The columns, in an order that is for ever: the first ones have one number a row, the others as many as
    /// [`Columns::read`] asks for. A column without numbers is a constant 0.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.columns()
    }
}

/// Columns that give back the payloads they were made of, or the events in them.
#[derive(Clone, Debug)]
pub struct Columns {
    columns: v1::Bursts,
}

impl Columns {
    /// Puts columns together again. `next` gives one column after the other, of the length it is told; none if there is
    /// none of that length. No column is longer than `most` numbers.
    #[must_use]
    pub fn read(
        (kind, version): (u16, u16),
        (job, destination): (JobId, DestinationId),
        rows: usize,
        most: usize,
        next: &mut dyn FnMut(usize) -> Option<Column>,
    ) -> Option<Self> {
        v1::has_columns(kind, version).then_some(())?;
        Some(Self { columns: v1::Bursts::read((job, destination), rows, most, next)? })
    }

    /// The event of a row; none past the end, or if the numbers have no meaning.
    #[must_use]
    pub fn event(&self, row: usize) -> Option<Event> {
        self.columns.event(row).map(Event::from)
    }

    /// The payload of a row, as it was; none as for [`Columns::event`].
    #[must_use]
    pub fn payload(&self, row: usize) -> Option<Vec<u8>> {
        self.columns.payload(row)
    }

    /// The planned slot of a row, in milliseconds since 1970.
    #[must_use]
    pub fn slot_at_ms(&self, row: usize) -> i64 {
        self.columns.slot_at_ms(row)
    }

    /// As [`ColumnWriter::last_end_ms`], of a row.
    #[must_use]
    pub fn end_ms(&self, row: usize) -> i64 {
        self.columns.end_ms(row)
    }

    /// Bytes of memory behind it.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.columns.heap_bytes()
    }
}
