//! A page of metrics as OTLP (protobuf over HTTP): the same names, units and labels as in its text. Names are those of the families, without
//! `_total`, which receivers that speak to Prometheus put there again.

use prost::Message as _;

use crate::base::Nanos;
use crate::export::openmetrics::{Family, Kind, Page, Sample, Value, label_pairs};
use crate::export::otlp_proto::{
    AnyValue, CUMULATIVE, ExportMetricsServiceRequest, ExportMetricsServiceResponse, Gauge,
    InstrumentationScope, KeyValue, Metric, Number, NumberDataPoint, Resource, ResourceMetrics,
    ScopeMetrics, Sum,
};

pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// A request with all samples of a page; `resource` says whose they are, `wall` when they were taken.
pub fn encode(page: &Page, resource: &[(&str, String)], wall: Nanos) -> Vec<u8> {
    let attributes = resource.iter().map(|(key, value)| text(key, value)).collect();
    let metrics = page.families().iter().map(|family| metric(family, wall)).collect();
    let scope = InstrumentationScope {
        name: "bufwatch".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics }],
        }],
    };
    request.encode_to_vec()
}

/// Why a receiver that answered yes has not taken all of it, if it says so.
pub fn refused(answer: &[u8]) -> Option<String> {
    // What cannot be read says nothing.
    let response = ExportMetricsServiceResponse::decode(answer).ok()?;
    let refused = response.partial_success.filter(|it| it.rejected_data_points > 0)?;
    let what = crate::base::sanitize(&refused.error_message);
    Some(format!("{} numbers are refused: {what}", refused.rejected_data_points))
}

fn metric(family: &Family, wall: Nanos) -> Metric {
    let is_counter = family.kind == Kind::Counter;
    let points = family.samples.iter().map(|sample| point(sample, is_counter, wall)).collect();
    let (gauge, sum) = if is_counter {
        let aggregation_temporality = CUMULATIVE;
        let sum = Sum { data_points: points, aggregation_temporality, is_monotonic: true };
        (None, Some(sum))
    } else {
        (Some(Gauge { data_points: points }), None)
    };
    let suffix = if family.kind == Kind::Info { family.kind.suffix() } else { "" };
    // By the Unified Code for Units of Measure.
    let unit = match family.unit.as_str() {
        "bytes" => "By",
        "seconds" => "s",
        other => other,
    };
    Metric {
        name: format!("{}{suffix}", family.name),
        description: family.help.clone(),
        unit: unit.to_owned(),
        gauge,
        sum,
    }
}

fn point(sample: &Sample, is_counter: bool, wall: Nanos) -> NumberDataPoint {
    let pairs = label_pairs(&sample.labels);
    NumberDataPoint {
        attributes: pairs.iter().map(|(name, value)| text(name, value)).collect(),
        start_time_unix_nano: if is_counter { sample.since.0 } else { 0 },
        time_unix_nano: wall.0,
        value: Some(match sample.value {
            Value::Whole(n) => Number::AsInt(i64::try_from(n).unwrap_or(i64::MAX)),
            Value::Fraction(n) => Number::AsDouble(n),
        }),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { string_value: Some(value.to_owned()) };
    KeyValue { key: key.to_owned(), value: Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_may_take_a_part() {
        assert_eq!(refused(&[]), None);
        assert_eq!(refused(b"{}"), None);
        // partial_success { rejected_data_points: 3, error_message: "no" }
        let answer = [0x0a, 6, 0x08, 3, 0x12, 2, b'n', b'o'];
        assert_eq!(refused(&answer).as_deref(), Some("3 numbers are refused: no"));
    }
}
