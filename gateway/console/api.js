// GraphQL over HTTP.
import { renew, session } from './session.js';

// What went wrong: `message` for people, `code` for programs, `traceId` for the log.
export class ApiError extends Error {
  constructor({ message, extensions }) {
    super(message);
    Object.assign(this, extensions);
  }
}

let clockDifference = 0;
// The gateway's clock, as far as its answers' headers tell.
export const serverNow = () => Date.now() + clockDifference;

// The data, with the first failure of a nested field as `error`; throws an ApiError if a root field failed.
export async function request(query, variables, isRetry = false) {
  const token = session.viewer?.token;
  const { data, errors = [] } = await post(token, { query, variables });
  const isRefused = !data && errors[0]?.extensions?.code === 'UNAUTHENTICATED';
  if (isRefused && !isRetry && (await renew(token))) return request(query, variables, true);
  const failed = errors.find(({ path }) => !path || path.length === 1);
  if (failed || !data) throw new ApiError(failed ?? errors[0] ?? { message: 'the answer has no data' });
  return { data, error: errors[0] && new ApiError(errors[0]) };
}

async function post(token, body) {
  let code = 'UNREACHABLE';
  try {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    const response = await fetch('/graphql', {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    });
    code = `HTTP_${response.status}`;
    const ahead = Date.parse(response.headers.get('date')) - Date.now();
    clockDifference = Math.abs(ahead) > 2_000 ? ahead : 0;
    return await response.json();
  } catch {
    // It may have arrived all the same.
    throw new ApiError({
      message: 'no answer came from the gateway',
      extensions: { code, retryable: true, outcome: 'UNKNOWN' },
    });
  }
}
