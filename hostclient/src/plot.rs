//! Line plots as inline SVG: no script, no font, no style sheet and no image from anywhere else, so that a
//! report is one file. Knows figures and words, nothing of what they mean.

mod axis;

pub use axis::{Axis, Scale};

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 350.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 58.0;
/// Told apart by people who see red and green alike (Okabe and Ito, 2008), and by their dashes.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const DASHES: [&str; 6] = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 2"];

/// A line with a name.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// In the order in which they are joined.
    pub points: Vec<(f64, f64)>,
}

/// A line across the plot, at a value of one of its axes.
#[derive(Clone, Debug)]
pub enum Mark {
    /// From top to bottom.
    Vertical(f64, String),
    /// From left to right.
    Horizontal(f64, String),
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn.
    pub series: Vec<Series>,
    /// Limits and findings.
    pub marks: Vec<Mark>,
}

impl Plot {
    /// The drawing, to stand in a page. Points that an axis cannot show (not finite, not above zero on a logarithmic one) are left
    /// out.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = points().map(|(x, y)| (*x, *y)).unzip();
        for mark in &self.marks {
            match mark {
                Mark::Vertical(at, _) => xs.push(*at),
                Mark::Horizontal(at, _) => ys.push(*at),
            }
        }
        let x = self.x.fit(&xs, LEFT, WIDTH - RIGHT);
        let y = self.y.fit(&ys, HEIGHT - BOTTOM, TOP);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"sans-serif\" font-size=\"11\">\n<title>{}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n",
            escape(&self.title)
        );
        text(&mut out, (LEFT, 20.0), "start\" font-size=\"13\" font-weight=\"bold", &self.title);
        for (value, label) in x.ticks() {
            let at = x.place(value);
            line(&mut out, (at, TOP), (at, HEIGHT - BOTTOM), "#ddd\" stroke-width=\"1");
            text(&mut out, (at, HEIGHT - BOTTOM + 16.0), "middle", &label);
        }
        for (value, label) in y.ticks() {
            let at = y.place(value);
            line(&mut out, (LEFT, at), (WIDTH - RIGHT, at), "#ddd\" stroke-width=\"1");
            text(&mut out, (LEFT - 6.0, at + 4.0), "end", &label);
        }
        text(&mut out, ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - BOTTOM + 32.0), "middle", &self.x.label);
        text(&mut out, (6.0, TOP - 12.0), "start", &self.y.label);
        for mark in &self.marks {
            match mark {
                Mark::Vertical(at, name) => {
                    let at = x.place(*at);
                    line(&mut out, (at, TOP), (at, HEIGHT - BOTTOM), "#666\" stroke-dasharray=\"5 4");
                    let side = if at > WIDTH * 0.7 { (at - 4.0, "end") } else { (at + 4.0, "start") };
                    text(&mut out, (side.0, TOP + 12.0), side.1, name);
                }
                Mark::Horizontal(at, name) => {
                    let at = y.place(*at);
                    line(&mut out, (LEFT, at), (WIDTH - RIGHT, at), "#666\" stroke-dasharray=\"5 4");
                    text(&mut out, (LEFT + 6.0, at - 4.0), "start", name);
                }
            }
        }
        let styles = COLOURS.iter().zip(DASHES).cycle();
        let mut legend = LEFT;
        for (series, (colour, dash)) in self.series.iter().zip(styles) {
            let good = series.points.iter().filter(|(a, b)| x.shows(*a) && y.shows(*b));
            let placed: Vec<_> =
                good.map(|(a, b)| format!("{:.1},{:.1}", x.place(*a), y.place(*b))).collect();
            let _never_fails = writeln!(
                out,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" \
                 points=\"{}\"/>",
                placed.join(" ")
            );
            // Few points are measurements of their own; many are a curve.
            for at in placed.iter().filter(|_| placed.len() <= 24) {
                let (cx, cy) = at.split_once(',').unwrap_or_default();
                let _never_fails =
                    writeln!(out, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"2.5\" fill=\"{colour}\"/>");
            }
            let at = HEIGHT - 10.0;
            let style = format!("{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}");
            line(&mut out, (legend, at - 4.0), (legend + 24.0, at - 4.0), &style);
            text(&mut out, (legend + 29.0, at), "start", &series.name);
            #[allow(clippy::cast_precision_loss)] // a length on paper
            let length = series.name.chars().count() as f64;
            legend += 44.0 + 6.2 * length;
        }
        out + "</svg>\n"
    }

    /// The drawing as a file of its own, which must name what it is.
    pub fn svg_file(&self) -> String {
        self.svg().replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1)
    }
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), stroke: &str) {
    let _never_fails = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{stroke}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, at: (f64, f64), anchor: &str, what: &str) {
    let _never_fails = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#222\">{}</text>",
        at.0,
        at.1,
        escape(what)
    );
}

/// Text as XML and HTML take it, in content and in quoted attributes.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> String {
        let series = vec![Series { name: "a<b".into(), points }];
        let marks = vec![Mark::Horizontal(50.0, "limit".into()), Mark::Vertical(3.0, "knee".into())];
        let (x, y) = (Axis::new("x", Scale::Linear), Axis::new("y & more", Scale::Log));
        Plot { title: "T".into(), x, y, series, marks }.svg()
    }

    #[test]
    fn every_point_is_drawn_inside() {
        let svg = plot(vec![(1.0, 10.0), (2.0, 100.0), (4.0, 1000.0)]);
        let line = svg.lines().find(|l| l.starts_with("<polyline")).unwrap();
        let points = line.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let points: Vec<(f64, f64)> = points
            .split(' ')
            .map(|p| p.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap())
            .collect();
        assert_eq!(points.len(), 3);
        assert!(points.iter().all(|(x, y)| (LEFT..=WIDTH - RIGHT).contains(x) && (TOP..=HEIGHT).contains(y)));
        // Ten times as much is as far up each time.
        let (a, b) = (points[0].1 - points[1].1, points[1].1 - points[2].1);
        assert!((a - b).abs() < 0.2 && a > 20.0, "{points:?}");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a&lt;b") && svg.contains("y &amp; more") && svg.contains("knee"));
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        let svg = plot(vec![(1.0, 0.0), (2.0, f64::NAN), (3.0, 7.0)]);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(!plot(Vec::new()).contains("NaN"));
    }
}
