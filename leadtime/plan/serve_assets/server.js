// What the page asks its server. A refusal is thrown as {field, message}.

const token = document.querySelector('meta[name="token"]').content;

export const form = () => answered(fetch("api/form"));
export const runs = () => answered(fetch("api/runs"));
export const ask = (values) => posted("api/runs", JSON.stringify(values), "application/json");
export const cancel = (number) => posted(`api/runs/${number}/cancel`, "", "application/json");
export const upload = (file) => posted(`api/uploads?name=${encodeURIComponent(file.name)}`, file, "application/octet-stream");

const posted = (url, body, type) =>
  answered(fetch(url, { method: "POST", body, headers: { "X-Leadtime-Token": token, "Content-Type": type } }));

async function answered(asked) {
  let response;
  try {
    response = await asked;
  } catch {
    throw { isAway: true, field: "", message: "The planner does not answer: is leadtime plan --serve still running?" };
  }
  if ((response.headers.get("Content-Type") ?? "").includes("json")) {
    const document = await response.json();
    if (response.ok) return document;
    throw document;
  }
  throw { field: "", message: (await response.text()) || `the planner answered ${response.status}` };
}
