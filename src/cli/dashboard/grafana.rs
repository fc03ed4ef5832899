//! The table of panels as a dashboard of Grafana.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::panels::{Kind, Panel, Query, SECTIONS};

/// Grafana brings older ones up to date by itself; this one is of Grafana 11.6 and 12.
const SCHEMA_VERSION: u32 = 41;
/// Rows of the grid.
const STAT_HEIGHT: u32 = 4;
const HEIGHT: u32 = 8;
const COLUMNS: u32 = 24;

/// A dashboard of a model; its data source is a variable that starts at one with this uid.
pub(super) fn dashboard(model: &str, datasource: &str) -> Value {
    let (mut panels, mut y) = (Vec::new(), 0);
    for section in SECTIONS {
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": section.title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for panel in section.panels {
            if x + panel.width > COLUMNS {
                (x, y) = (0, y + height);
            }
            height = if panel.kind == Kind::Stat { STAT_HEIGHT } else { HEIGHT };
            let place = json!({"x": x, "y": y, "w": panel.width, "h": height});
            panels.push(picture(panel, panels.len() + 1, &place, model));
            x += panel.width;
        }
        y += height;
    }
    json!({
        "title": format!("{model} Model Monitoring"),
        "uid": uid(model),
        "description": format!("What sidegate tells of {model}, by `sidegate dashboard grafana {model}`."),
        "tags": ["sidegate"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": true,
        "fiscalYearStartMonth": 0,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "graphTooltip": 1,
        "annotations": {"list": []},
        "templating": {"list": [source(datasource), instances(model)]},
        "panels": panels,
    })
}

/// The same for the same model, so that a new import takes the place of the old one.
fn uid(model: &str) -> String {
    let hash = Sha256::digest(format!("sidegate dashboard of {model}"));
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sidegate-{hex}")
}

fn source(uid: &str) -> Value {
    json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "regex": "",
        "current": {"text": uid, "value": uid, "selected": true},
        "hide": 0, "refresh": 1, "multi": false, "includeAll": false, "options": [], "skipUrlSync": false,
    })
}

/// The sidecars that have, or try to have, the model.
fn instances(model: &str) -> Value {
    let query = format!("label_values(sidegate_model_loads_total{{model={}}}, instance)", quoted(model));
    json!({
        "name": "instance", "label": "Sidecar", "type": "query", "datasource": prometheus(),
        "query": {"qryType": 1, "query": query, "refId": "instance"}, "regex": "",
        "current": {"text": ["All"], "value": ["$__all"], "selected": true},
        "hide": 0, "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "options": [], "skipUrlSync": false,
    })
}

fn prometheus() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A string of PromQL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A query with the series that it is about.
pub(super) fn expression(query: &str, model: &str) -> String {
    let all = "instance=~\"$instance\"";
    query.replace("{ALL", &format!("{{{all}")).replace("{MODEL", &format!("{{model={},{all}", quoted(model)))
}

fn picture(panel: &Panel, id: usize, place: &Value, model: &str) -> Value {
    let target = |(at, Query(query, legend)): (usize, &Query)| {
        let format = match panel.kind {
            Kind::Table => "table",
            Kind::Buckets => "heatmap",
            _ => "time_series",
        };
        let now = matches!(panel.kind, Kind::Table | Kind::Stat);
        json!({
            "refId": char::from(b'A' + at as u8).to_string(), "datasource": prometheus(), "editorMode": "code",
            "expr": expression(query, model), "legendFormat": legend, "format": format, "instant": now, "range": !now,
        })
    };
    let targets: Vec<Value> = panel.queries.iter().enumerate().map(target).collect();
    let mut picture = json!({
        "id": id, "title": panel.title, "description": panel.about, "gridPos": place, "datasource": prometheus(),
        "type": plugin(panel.kind), "targets": targets, "options": options(panel), "transparent": false,
        "fieldConfig": {"defaults": field(panel), "overrides": []},
    });
    if panel.kind == Kind::Table {
        let columns = json!({"excludeByName": {"Time": true}, "indexByName": {}, "renameByName": {"Value": "sidecars"}});
        picture["transformations"] = json!([{"id": "organize", "options": columns}]);
    }
    picture
}

const fn plugin(kind: Kind) -> &'static str {
    match kind {
        Kind::Stat => "stat",
        Kind::Lines | Kind::Stacked => "timeseries",
        Kind::Buckets | Kind::Cells => "heatmap",
        Kind::Table => "table",
    }
}

fn options(panel: &Panel) -> Value {
    match panel.kind {
        Kind::Stat => json!({
            "colorMode": if panel.red.is_some() { "background" } else { "value" }, "graphMode": "none",
            "justifyMode": "auto", "orientation": "auto", "percentChangeColorMode": "standard", "showPercentChange": false,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false}, "textMode": "value", "wideLayout": true,
        }),
        Kind::Lines | Kind::Stacked => json!({
            "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        Kind::Buckets | Kind::Cells => {
            // Between values next to none there are more steps for buckets; what is sure is to look sure.
            let scale = if panel.kind == Kind::Buckets { "exponential" } else { "linear" };
            json!({
                "calculate": false, "cellGap": 1, "cellValues": {}, "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "color": {"mode": "scheme", "scheme": "Oranges", "scale": scale, "exponent": 0.5, "fill": "dark-orange",
                          "reverse": false, "steps": 64},
                "legend": {"show": true}, "rowsFrame": {"layout": "auto"}, "showValue": "never",
                "tooltip": {"mode": "single", "showColorScale": true, "yHistogram": false},
                "yAxis": {"axisPlacement": "left", "reverse": false, "unit": panel.unit},
            })
        }
        Kind::Table => json!({
            "cellHeight": "sm", "frameIndex": 0, "showHeader": true,
        }),
    }
}

fn field(panel: &Panel) -> Value {
    let mut steps = vec![json!({"value": null, "color": "green"})];
    steps.extend(panel.red.map(|red| json!({"value": red, "color": "red"})));
    let thresholds = json!({"mode": "absolute", "steps": steps});
    match panel.kind {
        Kind::Buckets | Kind::Cells => json!({"custom": {"scaleDistribution": {"type": "linear"}}}),
        Kind::Table => json!({"unit": panel.unit, "mappings": [], "thresholds": thresholds}),
        Kind::Stat => {
            json!({"unit": panel.unit, "mappings": [], "thresholds": thresholds, "color": {"mode": "thresholds"}})
        }
        Kind::Lines | Kind::Stacked => {
            let stacked = panel.kind == Kind::Stacked;
            let stacking = json!({"mode": if stacked { "normal" } else { "none" }, "group": "A"});
            json!({
                "unit": panel.unit, "min": 0, "mappings": [], "thresholds": thresholds, "color": {"mode": "palette-classic"},
                "custom": {
                    "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "showPoints": "auto", "spanNulls": false,
                    "fillOpacity": if stacked { 40 } else { 0 }, "stacking": stacking,
                },
            })
        }
    }
}
