//! Files that numpy and scipy read.
//!
//! ```text
//! npy   "\x93NUMPY" 1 0 | u16 length of the header | a Python dict, padded to a multiple of 64 | values
//! npz   a zip archive of npy files; here stored without compression
//! ```
//!
//! Source: NumPy Enhancement Proposal 1; PKWARE's APPNOTE 6.3.10; `scipy.sparse.save_npz`.

/// An array: its type in numpy's words, its shape and its values, little endian, the last dimension contiguous.
#[derive(Debug, Clone)]
pub struct Array {
    descr: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    pub fn f32(shape: &[usize], values: &[f32]) -> Array {
        Array { descr: "<f4".into(), shape: shape.into(), bytes: bytemuck::cast_slice(values).to_vec() }
    }

    pub fn f64(shape: &[usize], values: &[f64]) -> Array {
        Array { descr: "<f8".into(), shape: shape.into(), bytes: bytemuck::cast_slice(values).to_vec() }
    }

    pub fn i32(shape: &[usize], values: &[i32]) -> Array {
        Array { descr: "<i4".into(), shape: shape.into(), bytes: bytemuck::cast_slice(values).to_vec() }
    }

    pub fn i64(shape: &[usize], values: &[i64]) -> Array {
        Array { descr: "<i8".into(), shape: shape.into(), bytes: bytemuck::cast_slice(values).to_vec() }
    }

    /// One text of bytes, as scipy names its formats.
    fn ascii(text: &str) -> Array {
        Array { descr: format!("|S{}", text.len()), shape: Vec::new(), bytes: text.as_bytes().to_vec() }
    }

    /// Texts, each padded to the longest.
    pub fn texts(texts: &[String]) -> Array {
        let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
        let mut bytes = Vec::with_capacity(4 * longest * texts.len());
        for text in texts {
            let letters = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest);
            bytes.extend(letters.flat_map(u32::to_le_bytes));
        }
        Array { descr: format!("<U{longest}"), shape: vec![texts.len()], bytes }
    }

    /// The bytes of an `.npy` file.
    pub fn npy(&self) -> Vec<u8> {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let shape = if shape.len() == 1 { format!("{},", shape[0]) } else { shape.join(", ") };
        let mut header =
            format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({shape}), }}", self.descr);
        let padding = 63 - (10 + header.len()) % 64;
        header.push_str(&" ".repeat(padding));
        header.push('\n');
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(&self.bytes);
        file
    }
}

/// The bytes of an `.npz` file of named arrays.
pub fn npz(arrays: &[(&str, Array)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, array) in arrays {
        let (name, data) = (format!("{name}.npy"), array.npy());
        let (offset, size) = (file.len() as u32, data.len() as u32);
        // Version 2.0, no flags, stored, no date; the date is 1980-01-01.
        let mut fields = Vec::new();
        fields.extend([20u16, 0, 0, 0, 0x21].iter().flat_map(|v| v.to_le_bytes()));
        fields.extend([crc32(&data), size, size].iter().flat_map(|v| v.to_le_bytes()));
        fields.extend([name.len() as u16, 0].iter().flat_map(|v| v.to_le_bytes()));
        file.extend(b"PK\x03\x04");
        file.extend(&fields);
        file.extend(name.as_bytes());
        file.extend(data);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&fields);
        // No comment, disk 0, no attributes.
        directory.extend([0u8; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, n) = (file.len() as u32, arrays.len() as u16);
    file.extend(&directory);
    file.extend(b"PK\x05\x06");
    file.extend([0u16, 0, n, n].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([directory.len() as u32, start].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([0u8; 2]);
    file
}

/// A sparse matrix as `scipy.sparse.load_npz` reads it, and the names of its columns beside it.
///
/// Fails where it takes more than the 4 GB that a plain zip archive can hold.
pub fn sparse_npz(rows: &[Vec<(usize, f64)>], columns: &[String]) -> crate::error::Result<Vec<u8>> {
    let n: usize = rows.iter().map(Vec::len).sum();
    let letters = columns.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    if n.max(letters * columns.len() / 2) > 1 << 28 {
        return Err(crate::error::Error::Input(format!(
            "{n} values of {} units are too many for one npz file; split the documents, or use --min-documents",
            columns.len()
        )));
    }
    let mut ends = vec![0i32];
    let (mut indices, mut data) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for row in rows {
        indices.extend(row.iter().map(|&(column, _)| column as i32));
        data.extend(row.iter().map(|&(_, value)| value));
        ends.push(indices.len() as i32);
    }
    Ok(npz(&[
        ("indices", Array::i32(&[n], &indices)),
        ("indptr", Array::i32(&[ends.len()], &ends)),
        ("format", Array::ascii("csr")),
        ("shape", Array::i64(&[2], &[rows.len() as i64, columns.len() as i64])),
        ("data", Array::f64(&[n], &data)),
        ("vocabulary", Array::texts(columns)),
    ]))
}

/// The checksum of zip archives, bit by bit over a table of bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|i| (0..8).fold(i, |v, _| if v & 1 == 1 { 0xedb8_8320 ^ v >> 1 } else { v >> 1 }))
        .collect();
    !bytes.iter().fold(!0u32, |crc, &byte| table[((crc ^ u32::from(byte)) & 0xff) as usize] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_that_numpy_writes() {
        let file = Array::f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).npy();
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        assert_eq!(file.len(), 128 + 24);
        assert_eq!(&file[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert_eq!(std::str::from_utf8(&file[10..128]).expect("ASCII"), format!("{header:<117}\n"));
        assert_eq!(&file[128..132], 1.0f32.to_le_bytes());
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn an_archive_lists_its_arrays() {
        let file = sparse_npz(&[vec![(0, 1.0)], vec![]], &["é".into(), "ab".into()]).expect("small");
        let count = |mark: &[u8]| file.windows(mark.len()).filter(|window| *window == mark).count();
        assert_eq!((count(b"PK\x03\x04"), count(b"PK\x01\x02"), count(b"PK\x05\x06")), (6, 6, 1));
        let end = &file[file.len() - 22..];
        let start = u32::from_le_bytes([end[16], end[17], end[18], end[19]]) as usize;
        assert_eq!(&file[start..start + 4], b"PK\x01\x02");
    }
}
