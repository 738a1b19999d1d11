//! The rows: gathered and printed.

use serde_json::{Map, Value, json};

/// A figure of each peer; none for one that is not there or failed.
pub type Peers = Vec<(&'static str, Option<f64>)>;

/// One row.
#[derive(Debug)]
struct Row {
    name: &'static str,
    unit: &'static str,
    reeve: f64,
    peers: Peers,
}

impl Row {
    /// The best peer over Reeve: above 1, Reeve is faster or smaller. None without a peer.
    fn ratio(&self) -> Option<f64> {
        let best = self.peers.iter().filter_map(|(_, figure)| *figure).min_by(f64::total_cmp)?;
        (self.reeve > 0.0).then(|| best / self.reeve)
    }

    fn json(&self) -> Value {
        let peers: Map<String, Value> = self
            .peers
            .iter()
            .map(|(peer, figure)| ((*peer).to_owned(), figure.map_or(Value::Null, |figure| json!(rounded(figure)))))
            .collect();
        json!({
            "name": self.name,
            "unit": self.unit,
            "reeve": rounded(self.reeve),
            "peers": peers,
            "ratio": self.ratio().map(rounded),
        })
    }

    fn line(&self) -> String {
        let figure = |peer: &(&str, Option<f64>)| match peer.1 {
            Some(figure) => format!("{} {}", peer.0, shown(figure)),
            None => format!("{} -", peer.0),
        };
        let peers: Vec<String> = self.peers.iter().map(figure).collect();
        let ratio = self.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}x"));
        format!("{:<24} {:<4} {:>10} {:>8}   {}", self.name, self.unit, shown(self.reeve), ratio, peers.join("  "))
    }
}

/// Prints rows as they come (JSON) or all at the end (a table).
#[derive(Debug)]
pub struct Table {
    json: bool,
    rows: Vec<Row>,
}

impl Table {
    /// No row yet.
    pub fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn add(&mut self, name: &'static str, unit: &'static str, reeve: f64, peers: Peers) {
        let row = Row { name, unit, reeve, peers };
        if self.json {
            println!("{}", row.json());
        }
        self.rows.push(row);
    }

    /// Prints what was not printed yet.
    pub fn finish(&self) {
        if self.json {
            return;
        }
        println!("row                      unit      reeve    ratio   peers (ratio: best peer / reeve)");
        for row in &self.rows {
            println!("{}", row.line());
        }
    }
}

/// Three digits after the point, which is a microsecond where the unit is a millisecond.
fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

fn shown(figure: f64) -> String {
    if figure < 100.0 { format!("{figure:.2}") } else { format!("{figure:.0}") }
}
