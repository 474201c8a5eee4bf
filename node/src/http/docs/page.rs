//! `/docs`: both documents as one page of plain HTML. No script, and nothing from elsewhere.

use std::fmt::Write as _;

use serde_json::Value;

/// The page of these documents.
pub fn page(openapi: &Value, asyncapi: &Value) -> String {
    let mut html = String::with_capacity(256 * 1024);
    html.push_str(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Herald</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body>\
         <h1>Herald</h1><p>REST under <code>/api/v1</code> (<a href=\"/openapi.json\">openapi.json</a>) and frames of the \
         WebSocket (<a href=\"/asyncapi.json\">asyncapi.json</a>). <a href=\"#rest\">REST</a> · <a href=\"#frames\">Frames</a> · \
         <a href=\"#schemas\">Schemas</a></p><h2 id=\"rest\">REST</h2>",
    );
    rest(&mut html, openapi);
    html.push_str("<h2 id=\"frames\">Frames</h2>");
    frames(&mut html, asyncapi);
    html.push_str("<h2 id=\"schemas\">Schemas</h2>");
    for (name, schema) in object(openapi, "/components/schemas") {
        let name = escape(name);
        let _ = write!(html, "<details id=\"schema-{name}\"><summary>{name}</summary>{}</details>", pre(schema));
    }
    html.push_str("</body></html>");
    html
}

/// Operations by their first word, in the order of their paths.
fn rest(html: &mut String, openapi: &Value) {
    let mut tag = "";
    for (path, operations) in object(openapi, "/paths") {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let of = operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default();
            if of != tag {
                tag = of;
                let _ = write!(html, "<h3>{}</h3>", escape(tag));
            }
            let _ = write!(
                html,
                "<details><summary><code><span class=\"method\">{}</span>{}</code> <span class=\"said\">{}</span></summary>",
                method.to_ascii_uppercase(),
                escape(path),
                escape(text(operation, "summary")),
            );
            show_operation(html, operation);
            html.push_str("</details>");
        }
    }
}

fn show_operation(html: &mut String, operation: &Value) {
    if operation.pointer("/security/0").is_some() {
        html.push_str("<p>Needs an access token.</p>");
    }
    let parameters = operation.get("parameters").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        html.push_str("<table>");
        for parameter in parameters {
            let schema = parameter.get("schema").unwrap_or(&Value::Null);
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{} {}</td><td>{}</td></tr>",
                escape(text(parameter, "name")),
                escape(text(parameter, "in")),
                escape(text(schema, "type")),
                escape(text(schema, "format")),
                escape(text(schema, "description")),
            );
        }
        html.push_str("</table>");
    }
    if let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") {
        let _ = write!(html, "<p>Body</p>{}", pre(body));
    }
    html.push_str("<table>");
    for (status, response) in object(operation, "/responses") {
        let _ = write!(html, "<tr><td>{}</td><td>{}</td><td>", escape(status), escape(text(response, "description")));
        for (content_type, content) in object(response, "/content") {
            let name = content.pointer("/schema/$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
            match name {
                Some(name) => {
                    let name = escape(name);
                    let _ = write!(html, "<a href=\"#schema-{name}\">{name}</a>");
                }
                None if content_type != "application/problem+json" => html.push_str(&escape(content_type)),
                None => {}
            }
        }
        html.push_str("</td></tr>");
    }
    html.push_str("</table>");
}

fn frames(html: &mut String, asyncapi: &Value) {
    for (operation, of) in object(asyncapi, "/operations") {
        let _ = write!(html, "<h3>{}</h3>", escape(text(of, "summary")));
        let side = if operation == "fromClient" { "client." } else { "server." };
        for (name, message) in object(asyncapi, "/components/messages") {
            let Some(short) = name.strip_prefix(side) else { continue };
            let schema = asyncapi.pointer(&format!("/components/schemas/{name}")).unwrap_or(&Value::Null);
            let _ = write!(
                html,
                "<details><summary><code>{}</code> <span class=\"said\">{}</span></summary>{}</details>",
                escape(short),
                escape(text(message, "summary")),
                pre(schema),
            );
        }
    }
    html.push_str("<h3>Close codes</h3><table>");
    let codes = asyncapi.pointer("/channels/socket/x-close-codes").and_then(Value::as_array);
    for code in codes.into_iter().flatten() {
        let number = code.get("code").map(ToString::to_string).unwrap_or_default();
        let _ = write!(html, "<tr><td>{number}</td><td>{}</td></tr>", escape(text(code, "reason")));
    }
    html.push_str("</table>");
}

fn object<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn pre(schema: &Value) -> String {
    format!("<pre>{}</pre>", escape(&serde_json::to_string_pretty(schema).unwrap_or_default()))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_documents_is_markup() {
        let openapi = serde_json::json!({"paths": {"/<b>": {"get": {"summary": "\"a\" & <script>"}}}});
        let html = page(&openapi, &Value::Null);
        assert!(html.contains("/&lt;b&gt;") && html.contains("&quot;a&quot; &amp; &lt;script&gt;"), "{html}");
        assert!(!html.contains("<script"), "{html}");
    }
}
