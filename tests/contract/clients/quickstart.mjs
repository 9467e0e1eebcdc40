// The calls of the quickstart in JavaScript: built-in fetch, three headers, an error where the answer is not ok.
const { BASE_URL, TENANT_ID, API_KEY } = process.env;
const [customer, badCustomer] = process.argv.slice(2);

const headers = {
  "Content-Type": "application/json",
  "X-Tenant-Id": TENANT_ID,
  "X-API-Key": API_KEY,
  "X-Requested-With": "XMLHttpRequest",
};

async function post(what, path, fields) {
  const answer = await fetch(BASE_URL + path, { method: "POST", headers, body: JSON.stringify(fields) });
  if (!answer.ok) {
    const problem = await answer.json();
    throw new Error(`${what} failed (${answer.status}): ${problem.error}`);
  }
  return answer.json();
}

const recommend = (customerId, limit = 3) => post("Recommend", "/api/v1/recommend", { customerId, limit });

const respond = (customerId, creativeId, channelId, outcome) =>
  post("Respond", "/api/v1/respond", {
    customerId,
    creativeId,
    channelId,
    outcome,
    idempotencyKey: `${outcome}-${Date.now()}`,
  });

const failure = async (call) => {
  try {
    await call();
    return null;
  } catch (error) {
    return error.message;
  }
};

const recommended = await recommend(customer);
const first = recommended.decisions[0];
const responses = [];
for (const outcome of ["impression", "click", "accept", "dismiss", "convert"]) {
  responses.push(await respond(customer, first.creativeId, first.channelId, outcome));
}
console.log(
  JSON.stringify({
    recommended,
    responses,
    unknown: await failure(() => recommend(badCustomer)),
    invalid: await failure(() => recommend(customer, "web")),
  }),
);
