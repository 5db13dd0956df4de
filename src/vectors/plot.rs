//! Labelled points as a picture: SVG, alone or in a page. Light and dark, without anything from elsewhere.

use std::fmt::Write;

/// A point with its name.
#[derive(Debug, Clone)]
pub struct Point {
    pub label: String,
    /// What hovering shows, line by line.
    pub details: String,
    pub at: [f64; 2],
}

/// A picture of points.
#[derive(Debug, Clone)]
pub struct Plot {
    pub title: String,
    /// Below the picture.
    pub note: String,
    pub points: Vec<Point>,
    /// Pairs of points that a line joins.
    pub lines: Vec<(usize, usize)>,
    /// What the axes show.
    pub axes: [String; 2],
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Rect {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Rect {
    fn overlaps(&self, other: &Rect) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }
}

const FONT: f64 = 13.0;
const RADIUS: f64 = 4.0;
const LABEL_MAX: usize = 44;
/// Room around the points: above there is the title, below the axis.
const MARGIN: Rect = Rect { x: 56.0, y: 64.0, width: 112.0, height: 140.0 };

const STYLE: &str = "
.page{--surface:#fcfcfa;--ink:#1c1c1a;--muted:#6b6a66;--grid:#e4e3de;--dot:#2166ac;--line:#2166ac}
@media (prefers-color-scheme:dark){.page{--surface:#171716;--ink:#ededea;--muted:#a09f99;--grid:#31312e;--dot:#74b0ee;--line:#74b0ee}}
.page text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--ink)}
.page g.point text{paint-order:stroke;stroke:var(--surface);stroke-width:3px;stroke-linejoin:round}
.page .title{font-size:17px;font-weight:600}
.page .muted{fill:var(--muted);font-size:12px}
.page .grid{stroke:var(--grid);stroke-width:1}
.page .near{stroke:var(--line);stroke-width:1.2;opacity:.3}
.page .lead{stroke:var(--muted);stroke-width:.8}
.page circle{fill:var(--dot);stroke:var(--surface);stroke-width:1.5}
.page .hit{fill:transparent;stroke:none}
.page g.point:hover circle.mark{stroke:var(--ink);stroke-width:2}
.page g.point:hover text{font-weight:700}
";

impl Plot {
    /// An SVG file.
    pub fn svg(&self) -> String {
        let n = self.points.len() as f64;
        // Many labels need more room.
        let scale = (n / 40.0).sqrt().clamp(1.0, 3.0);
        let (width, height) = ((900.0 * scale).round(), (640.0 * scale).round());
        let places = self.places(width, height);
        let (labels, n_missing) = labels(&self.points, &places, width, height);
        let mut out = format!(
            "<svg class=\"page\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" style=\"fill:var(--surface)\"/>\n",
            escape(&self.title)
        );
        let bottom = height - (MARGIN.height - MARGIN.y) + 16.0;
        let right = width - (MARGIN.width - MARGIN.x) + 16.0;
        let (left, top) = (MARGIN.x - 16.0, MARGIN.y - 12.0);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "<text class=\"title\" x=\"{left}\" y=\"32\">{}</text>\n\
             <path class=\"grid\" fill=\"none\" d=\"M{left} {top}V{bottom}H{right}\"/>\n\
             <text class=\"muted\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <text class=\"muted\" transform=\"translate({} {top}) rotate(-90)\" text-anchor=\"end\">{}</text>",
            escape(&self.title),
            bottom + 20.0,
            escape(&self.axes[0]),
            left - 10.0,
            escape(&self.axes[1]),
        );
        let missing = match n_missing {
            0 => String::new(),
            n => format!(" {n} labels had no room; hovering shows them."),
        };
        let note = format!("{}{missing}", self.note);
        let _ = writeln!(
            out,
            "<text class=\"muted\" x=\"{left}\" y=\"{}\">{}</text>",
            height - 18.0,
            escape(&note)
        );
        for &(a, b) in &self.lines {
            let ([x1, y1], [x2, y2]) = (places[a], places[b]);
            let _ = writeln!(
                out,
                "<line class=\"near\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
            );
        }
        for ((point, [x, y]), label) in self.points.iter().zip(&places).zip(&labels) {
            let _ = write!(out, "<g class=\"point\"><title>{}</title>", escape(&point.details));
            if let Some(label) = label {
                // A label that found no room beside its point is led to it.
                let end = [x.clamp(label.x, label.x + label.width), y.clamp(label.y, label.y + label.height)];
                if (end[0] - x).hypot(end[1] - y) > 16.0 {
                    let _ = write!(
                        out,
                        "<line class=\"lead\" x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
                        end[0], end[1]
                    );
                }
            }
            let _ = write!(
                out,
                "<circle class=\"hit\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"12\"/>\
                 <circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\"/>"
            );
            if let Some(label) = label {
                let _ = write!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    label.x + label.width / 2.0,
                    label.y + label.height - 4.0,
                    escape(&shown(&point.label))
                );
            }
            out.push_str("</g>\n");
        }
        out.push_str("</svg>\n");
        out
    }

    /// A page with the picture.
    pub fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\n\
             <style>body{{margin:0;background:#fcfcfa}}\
             @media (prefers-color-scheme:dark){{body{{background:#171716}}}}\
             svg{{display:block;max-width:100%;height:auto;margin:0 auto}}</style></head>\n<body>\n{}</body></html>\n",
            escape(&self.title),
            self.svg()
        )
    }

    /// The points in pixels, both axes in the same unit so that distances are true.
    fn places(&self, width: f64, height: f64) -> Vec<[f64; 2]> {
        let range = |axis: usize| {
            let values = self.points.iter().map(|point| point.at[axis]);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((left, right), (bottom, top)) = (range(0), range(1));
        let (room_x, room_y) = (width - MARGIN.width, height - MARGIN.height);
        let unit = (room_x / (right - left).max(1e-12)).min(room_y / (top - bottom).max(1e-12));
        let unit = if unit.is_finite() && unit < 1e12 { unit } else { 0.0 };
        let (mid_x, mid_y) = ((left + right) / 2.0, (bottom + top) / 2.0);
        let place = |point: &Point| {
            [
                MARGIN.x + room_x / 2.0 + unit * (point.at[0] - mid_x),
                MARGIN.y + room_y / 2.0 - unit * (point.at[1] - mid_y),
            ]
        };
        self.points.iter().map(place).collect()
    }
}

/// A place for each label that no other label and no point has, as near to its point as there is one; and
/// how many found none.
fn labels(points: &[Point], places: &[[f64; 2]], width: f64, height: f64) -> (Vec<Option<Rect>>, usize) {
    // Right, left, above, below, then between.
    const ANGLES: [f64; 12] = [0.0, 180.0, 270.0, 90.0, 315.0, 225.0, 45.0, 135.0, 337.5, 22.5, 202.5, 157.5];
    let dot = |&[x, y]: &[f64; 2]| Rect {
        x: x - RADIUS - 1.0,
        y: y - RADIUS - 1.0,
        width: 2.0 * RADIUS + 2.0,
        height: 2.0 * RADIUS + 2.0,
    };
    let mut taken: Vec<Rect> = places.iter().map(dot).collect();
    let mut labels = Vec::with_capacity(points.len());
    for (point, &[x, y]) in points.iter().zip(places) {
        let (w, h) = (text_width(&shown(&point.label)), FONT + 4.0);
        let inside = |r: &Rect| {
            r.x > 4.0 && r.y > 40.0 && r.x + r.width < width - 4.0 && r.y + r.height < height - 56.0
        };
        let rounds = [7.0, 11.0, 18.0, 28.0, 42.0, 60.0, 84.0, 112.0];
        let candidates = rounds.iter().flat_map(|gap| ANGLES.iter().map(move |angle| (gap, angle)));
        let found = candidates
            .map(|(gap, angle)| {
                let (sin, cos) = angle.to_radians().sin_cos();
                let (cx, cy) = (x + cos * (gap + w / 2.0), y + sin * (gap + h / 2.0));
                Rect { x: cx - w / 2.0, y: cy - h / 2.0, width: w, height: h }
            })
            .find(|rect| inside(rect) && !taken.iter().any(|other| other.overlaps(rect)));
        taken.extend(found);
        labels.push(found);
    }
    let n_missing = labels.iter().filter(|label| label.is_none()).count();
    (labels, n_missing)
}

/// A label as far as it is shown.
fn shown(label: &str) -> String {
    let clean: String = label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match clean.char_indices().nth(LABEL_MAX) {
        Some((end, _)) => format!("{}…", clean[..end].trim_end()),
        None => clean,
    }
}

/// Pixels of a text at most, in whatever sans serif the reader has.
fn text_width(text: &str) -> f64 {
    let letter = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | '.' | ',' | '\'' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '…' => 1.0,
        c if c.is_uppercase() => 0.75,
        c if u32::from(c) >= 0x2e80 => 1.1,
        _ => 0.62,
    };
    FONT * text.chars().map(letter).sum::<f64>() + 4.0
}

/// A text as XML has it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            // No other control characters may stand in XML.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(n: usize) -> Plot {
        let point = |i: usize| Point {
            label: format!("word{i}"),
            details: "a < b & \"c\"\u{1}".into(),
            at: [((i * 37) % 11) as f64, ((i * 53) % 7) as f64],
        };
        Plot {
            title: "<title>".into(),
            note: String::new(),
            points: (0..n).map(point).collect(),
            lines: vec![(0, 1)],
            axes: ["one".into(), "two".into()],
        }
    }

    #[test]
    fn no_label_lies_on_another_or_on_a_point() {
        let plot = plot(60);
        let places = plot.places(900.0, 640.0);
        let (labels, n_missing) = labels(&plot.points, &places, 900.0, 640.0);
        let found: Vec<Rect> = labels.into_iter().flatten().collect();
        assert_eq!(found.len() + n_missing, 60);
        assert!(found.len() > 50, "{}", found.len());
        for (i, a) in found.iter().enumerate() {
            assert!(found[..i].iter().all(|b| !a.overlaps(b)));
            assert!(
                places.iter().all(|&[x, y]| !(x > a.x && x < a.x + a.width && y > a.y && y < a.y + a.height))
            );
        }
    }

    #[test]
    fn the_picture_is_xml_even_of_one_point() {
        for n in [1, 2, 60] {
            let mut plot = plot(n);
            plot.lines.retain(|&(_, b)| b < n);
            let svg = plot.svg();
            assert!(svg.contains("a &lt; b &amp; &quot;c&quot; ") && svg.contains("&lt;title&gt;"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
            assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
        }
    }
}
