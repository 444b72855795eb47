//! Records of a CSV file with their places, and what is wrong with them.

use plimsoll_core::diagnostic::{Diagnostic, Severity};

/// Malformed rows that are reported one by one; further ones are counted.
const MAX_REPORTED: usize = 20;

/// One record and where it begins.
pub(crate) struct Row {
    pub(crate) fields: csv::ByteRecord,
    /// Byte offset of the record in the file.
    offset: usize,
    /// Line it begins in, from 1.
    line: usize,
}

impl Row {
    /// A field by position; empty if the record is shorter.
    pub(crate) fn field(&self, index: usize) -> &[u8] {
        self.fields.get(index).unwrap_or_default()
    }

    /// Whether a field holds exactly this.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field == name.as_bytes())
    }

    /// A field as a number, if it is one and nothing else.
    pub(crate) fn number<T: std::str::FromStr>(&self, index: usize) -> Option<T> {
        std::str::from_utf8(self.field(index)).ok()?.parse().ok()
    }

    /// A field as text for a message, shortened.
    pub(crate) fn shown(&self, index: usize) -> String {
        let text = String::from_utf8_lossy(self.field(index));
        let short: String = text.chars().take(40).collect();
        if short.len() < text.len() { format!("`{short}…`") } else { format!("`{short}`") }
    }
}

/// The records of a file, blank lines left out.
pub(crate) struct Rows<'a> {
    bytes: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    /// Fields of the first record; every other must have as many.
    num_fields: Option<usize>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        Self { bytes, reader, num_fields: None }
    }

    /// The next record with the right number of fields; others are reported and left out.
    pub(crate) fn next(&mut self, problems: &mut Problems<'_>) -> Option<Row> {
        loop {
            let row = self.read()?;
            if let Some(field) = self.open_quote(&row) {
                let message = format!("the quote that begins field {} is never closed", field + 1);
                problems.row(
                    &row,
                    field,
                    "trace-quote",
                    message,
                    "close it; what follows is read as part of the field",
                );
                continue;
            }
            let num_fields = *self.num_fields.get_or_insert(row.fields.len());
            if row.fields.len() != num_fields {
                let message = format!("the row has {} fields, the header has {num_fields}", row.fields.len());
                problems.row(
                    &row,
                    0,
                    "trace-field-count",
                    message,
                    "quote fields that hold commas, and give every row all columns",
                );
                continue;
            }
            if let Some(field) = stray_quote(self.bytes.get(row.offset..).unwrap_or_default(), &row) {
                let message = format!("field {} holds a quote but is not quoted", field + 1);
                problems.row(
                    &row,
                    field,
                    "trace-quote",
                    message,
                    "put the whole field in quotes and double those inside",
                );
                continue;
            }
            return Some(row);
        }
    }

    /// The quoted field that goes on to the end of the file, if the record ends in one.
    fn open_quote(&self, row: &Row) -> Option<usize> {
        let is_last = usize::try_from(self.reader.position().byte()).is_ok_and(|end| end >= self.bytes.len());
        if !is_last {
            return None;
        }
        let (mut field, mut is_quoted, mut is_at_start) = (0, false, true);
        for &byte in self.bytes.get(row.offset..).unwrap_or_default() {
            match byte {
                // A doubled quote closes and opens again.
                b'"' if is_quoted || is_at_start => is_quoted = !is_quoted,
                b',' if !is_quoted => field += 1,
                _ => {}
            }
            is_at_start = !is_quoted && matches!(byte, b',' | b'"');
        }
        is_quoted.then_some(field)
    }

    fn read(&mut self) -> Option<Row> {
        let mut fields = csv::ByteRecord::new();
        // Reading from memory, with any number of fields allowed, has no way to fail.
        if !self.reader.read_byte_record(&mut fields).unwrap_or(false) {
            return None;
        }
        let position = fields.position()?;
        let mut offset = usize::try_from(position.byte()).ok()?;
        let mut line = usize::try_from(position.line()).ok()?;
        // The reader's position is where the record before ended; blank lines may lie between.
        while let Some(b'\n' | b'\r') = self.bytes.get(offset) {
            line += usize::from(self.bytes[offset] == b'\n');
            offset += 1;
        }
        Some(Row { fields, offset, line })
    }
}

/// The first field with a quote in it that is not quoted itself, if there is one.
fn stray_quote(raw: &[u8], row: &Row) -> Option<usize> {
    let suspects = (0..row.fields.len()).filter(|&index| row.field(index).contains(&b'"'));
    let mut stray = suspects.filter(|&index| raw.get(field_offset(raw, index)) != Some(&b'"'));
    stray.next()
}

/// Byte offset of a field from the start of its record.
fn field_offset(raw: &[u8], field: usize) -> usize {
    let mut is_quoted = false;
    let mut seen = 0;
    for (offset, &byte) in raw.iter().enumerate() {
        if seen == field {
            return offset;
        }
        match byte {
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => seen += 1,
            b'\n' | b'\r' if !is_quoted => return offset,
            _ => {}
        }
    }
    raw.len()
}

/// What is wrong with a file.
pub(crate) struct Problems<'a> {
    file: &'a str,
    bytes: &'a [u8],
    found: Vec<Diagnostic>,
    errors: usize,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(file: &'a str, bytes: &'a [u8]) -> Self {
        Self { file, bytes, found: Vec::new(), errors: 0 }
    }

    /// An error in a field of a row.
    pub(crate) fn row(&mut self, row: &Row, field: usize, code: &str, message: String, hint: &str) {
        self.errors += 1;
        if self.errors <= MAX_REPORTED {
            let path = self.place(row, field);
            self.found.push(Diagnostic::error(code, path, message).with_hint(hint));
        }
    }

    /// A warning about a field of a row.
    pub(crate) fn row_warning(&mut self, row: &Row, field: usize, code: &str, message: String, hint: &str) {
        if self.found.len() < MAX_REPORTED {
            let path = self.place(row, field);
            self.found.push(Diagnostic::warning(code, path, message).with_hint(hint));
        }
    }

    /// An error at a place of a file that has no rows.
    pub(crate) fn line(&mut self, line: usize, column: usize, code: &str, message: String, hint: &str) {
        self.errors += 1;
        if self.errors <= MAX_REPORTED {
            let path = format!("{}:{line}:{column}", self.file);
            self.found.push(Diagnostic::error(code, path, message).with_hint(hint));
        }
    }

    /// Something worth knowing about the file as a whole.
    pub(crate) fn note(&mut self, code: &str, message: String, hint: &str) {
        self.found.push(Diagnostic::note(code, self.file, message).with_hint(hint));
    }

    /// An error about the file as a whole.
    pub(crate) fn whole_file(&mut self, code: &str, message: &str, hint: &str) {
        self.errors += 1;
        self.found.push(Diagnostic::error(code, self.file, message).with_hint(hint));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Warnings, or everything found if there is an error.
    pub(crate) fn finish(mut self) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        if self.errors > MAX_REPORTED {
            let message = format!("{} more rows are malformed", self.errors - MAX_REPORTED);
            self.found.push(
                Diagnostic::error("trace-more-rows", self.file, message)
                    .with_hint("mend the first ones; the others may be alike"),
            );
        }
        if self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            Err(self.found)
        } else {
            Ok(self.found)
        }
    }

    /// `file:line:column` of a field.
    fn place(&self, row: &Row, field: usize) -> String {
        let raw = self.bytes.get(row.offset..).unwrap_or_default();
        let before = raw.get(..field_offset(raw, field)).unwrap_or_default();
        let line = row.line + before.iter().filter(|&&byte| byte == b'\n').count();
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
        format!("{}:{line}:{column}", self.file)
    }
}
