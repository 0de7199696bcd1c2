import { relative } from 'node:path'
import type { Network } from './network.ts'
import type { Samples } from './publish-samples.ts'

/** What runs where, and the commands to try: the text that `npm start` ends with. */
export function overviewText(network: Network, samples: Samples): string {
  const { gatewayPorts } = network
  const caFile = relative(process.cwd(), network.caFile)
  const parts: [string, string][] = [
    [
      'gateway',
      `https on 127.0.0.1:${gatewayPorts.https}, http on 127.0.0.1:${gatewayPorts.http}, zone ${network.zone}`,
    ],
    ['gateway admin', `http://127.0.0.1:${gatewayPorts.admin}/metrics, /healthz, /api/v0/status`],
    ['CCN', `${network.ccnUrl}/api/v0/messages.json`],
    ...network.hosts.map(({ url, role }): [string, string] => [role.name, `${url}/about/capability`]),
    ['chain with ENS', network.chain.rpcUrl],
    ['DNS', `127.0.0.1:${network.dns.port} (${network.customZone} and, through it, ${network.zone})`],
    ['ACME CA', network.acme.directoryUrl],
    ['root of its certificates', caFile],
    ['state', relative(process.cwd(), network.stateDir)],
  ]
  const curl = `curl --cacert ${caFile} --connect-to ::127.0.0.1:${gatewayPorts.https}`
  return [
    '',
    ...parts.map(([name, place]) => `  ${name.padEnd(26)} ${place}`),
    '',
    'Try:',
    ...samples.urls.flatMap(({ what, url }) => [`  # ${what}`, `  ${curl} ${url}`]),
    '  # a name that is not connected: the page says which records are missing',
    `  curl --connect-to ::127.0.0.1:${gatewayPorts.http} http://new.${network.customZone}/`,
    '  # the same on the command line',
    `  ./lastmile domain check app.${network.customZone} --zone ${network.zone} --dns 127.0.0.1:${network.dns.port} --ccn ${network.ccnUrl}`,
    '',
    '',
  ].join('\n')
}
