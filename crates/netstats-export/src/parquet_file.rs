//! Apache Parquet on any `Write`: rows are gathered into groups, so that memory holds one of them.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::column::{Cell, Column, Line, Look};
use crate::limits::MAX_ROW_GROUP_ROWS;

/// Writes lines as Parquet: times as UTC timestamps of milliseconds, what is undefined as null.
pub struct ParquetWriter<W: Write + Send> {
    out: SerializedFileWriter<W>,
    columns: Vec<(&'static Column, Gathered)>,
    rows: usize,
}

impl<W: Write + Send> std::fmt::Debug for ParquetWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetWriter").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A column's values of the group in the making: those that are there, and for each row whether it is.
#[derive(Default)]
struct Gathered {
    is_there: Vec<i16>,
    counts: Vec<i64>,
    reals: Vec<f64>,
    truths: Vec<bool>,
    texts: Vec<ByteArray>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// A writer with these columns; `by` is the program.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, columns: Vec<&'static Column>, by: &str) -> io::Result<Self> {
        let fields: String = columns.iter().map(|column| format!("optional {};", field(column))).collect();
        let schema = parse_message_type(&format!("message rows {{ {fields} }}")).map_err(to_io)?;
        let properties =
            WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by(by.to_owned()).build();
        let out = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(to_io)?;
        Ok(Self { out, columns: columns.into_iter().map(|column| (column, Gathered::default())).collect(), rows: 0 })
    }

    /// Takes up one line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        for (column, gathered) in &mut self.columns {
            gathered.take(column.look, (column.value)(line));
        }
        self.rows += 1;
        if self.rows == MAX_ROW_GROUP_ROWS { self.end_group() } else { Ok(()) }
    }

    /// Writes what is left and the end of the file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_group()?;
        self.out.into_inner().map_err(to_io)
    }

    fn end_group(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        let mut group = self.out.next_row_group().map_err(to_io)?;
        for (_, gathered) in &mut self.columns {
            let Some(mut column) = group.next_column().map_err(to_io)? else { break };
            let Gathered { is_there, counts, reals, truths, texts } = std::mem::take(gathered);
            let levels = Some(&is_there[..]);
            match column.untyped() {
                ColumnWriter::Int64ColumnWriter(to) => to.write_batch(&counts, levels, None),
                ColumnWriter::DoubleColumnWriter(to) => to.write_batch(&reals, levels, None),
                ColumnWriter::BoolColumnWriter(to) => to.write_batch(&truths, levels, None),
                ColumnWriter::ByteArrayColumnWriter(to) => to.write_batch(&texts, levels, None),
                _ => Err(ParquetError::General("a type that no column of ours has".to_owned())),
            }
            .map_err(to_io)?;
            column.close().map_err(to_io)?;
        }
        group.close().map_err(to_io)?;
        Ok(())
    }
}

/// A column in the words of Parquet's schemas.
fn field(column: &Column) -> String {
    let name = column.name;
    match column.look {
        Look::Text => format!("binary {name} (STRING)"),
        Look::Count => format!("int64 {name}"),
        Look::Millis | Look::Percent | Look::Rate => format!("double {name}"),
        Look::Time => format!("int64 {name} (TIMESTAMP(MILLIS,true))"),
        Look::Truth => format!("boolean {name}"),
    }
}

impl Gathered {
    fn take(&mut self, look: Look, cell: Cell<'_>) {
        let is_there = match (look, cell) {
            (Look::Count, Cell::Count(count)) => i64::try_from(count).is_ok_and(|count| push(&mut self.counts, count)),
            (Look::Time, Cell::Time(at)) => push(&mut self.counts, at.as_millis()),
            (Look::Millis | Look::Percent | Look::Rate, Cell::Real(real)) => push(&mut self.reals, real),
            (Look::Truth, Cell::Truth(truth)) => push(&mut self.truths, truth),
            (Look::Text, Cell::Text(text)) => push(&mut self.texts, ByteArray::from(&*text)),
            (Look::Text, Cell::Address(address)) => push(&mut self.texts, ByteArray::from(&*address.to_string())),
            _ => false,
        };
        self.is_there.push(i16::from(is_there));
    }
}

fn push<T>(values: &mut Vec<T>, value: T) -> bool {
    values.push(value);
    true
}

fn to_io(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
