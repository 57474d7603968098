// Renders /openapi.json: every operation with its parameters, body, answers and a curl line.
"use strict";

const node = (tag, text = "", ...children) => {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
};

// A schema as the JSON that fits it, three levels deep.
const sample = (schema, all, depth = 0) => {
  if (!schema || depth > 4) return "…";
  if (schema.$ref) return sample(all[schema.$ref.split("/").pop()], all, depth + 1);
  if ("example" in schema) return schema.example;
  if (schema.enum) return schema.enum.join(" | ");
  const choices = schema.anyOf || schema.oneOf;
  if (choices) {
    const real = choices.filter((one) => one.type !== "null");
    return sample(real[0], all, depth);
  }
  if (schema.type === "array") return [sample(schema.items, all, depth + 1)];
  if (schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties)
      .map(([name, inner]) => [name, sample(inner, all, depth + 1)]));
  }
  if ("default" in schema && schema.default !== null) return schema.default;
  return schema.description ? `${schema.type}: ${schema.description}` : schema.type || "any";
};

const kind = (schema = {}) => {
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.anyOf) return schema.anyOf.map(kind).filter((one) => one !== "null").join(" or ");
  if (schema.items) return `${kind(schema.items)}, repeated`;
  return schema.type || "any";
};

const table = (rows) => {
  const body = node("tbody");
  for (const cells of rows) body.append(node("tr", "", ...cells.map((cell) => node("td", cell))));
  return node("table", "", body);
};

const json = (value) => node("pre", JSON.stringify(value, null, 2));

const curl = (method, path, operation) => {
  const parts = ["curl"];
  if (method !== "get") parts.push("-X", method.toUpperCase());
  parts.push('-H "Authorization: Bearer $TOKEN"');
  if (operation.requestBody) parts.push('-H "Content-Type: application/json" -d @body.json');
  parts.push(`"${location.origin}${path}"`);
  return node("pre", parts.join(" "));
};

const show = (method, path, operation, all) => {
  const name = node("span", method.toUpperCase());
  name.className = "method";
  const head = node("summary", "", name, node("code", path), ` ${operation.summary || ""}`);
  const inner = node("details", "", head, node("p", operation.description || ""));
  inner.append(curl(method, path, operation));
  if (operation.parameters?.length) {
    inner.append(node("h4", "Parameters"), table(operation.parameters.map((one) => [
      one.name, one.in, kind(one.schema), one.description || one.schema.description || "",
    ])));
  }
  const body = operation.requestBody?.content?.["application/json"];
  if (body) inner.append(node("h4", "Body"), json(body.example || sample(body.schema, all)));
  inner.append(node("h4", "Answers"));
  for (const [status, answer] of Object.entries(operation.responses)) {
    inner.append(node("p", `${status} ${answer.description || ""}`));
    const schema = answer.content?.["application/json"]?.schema;
    if (schema && status.startsWith("2")) inner.append(json(sample(schema, all)));
  }
  return inner;
};

const main = async () => {
  const place = document.getElementById("docs");
  const description = await (await fetch("/openapi.json")).json();
  const all = description.components.schemas;
  const groups = new Map();
  for (const [path, operations] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] || "more";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(show(method, path, operation, all));
    }
  }
  place.replaceChildren(node("h1", `${description.info.title} ${description.info.version}`));
  for (const text of description.info.description.split("\n\n")) place.append(node("p", text));
  for (const [tag, shown] of groups) place.append(node("h2", tag), ...shown);
};

main().catch((error) => {
  document.getElementById("docs").textContent = `/openapi.json cannot be read: ${error}`;
});
