import { standIn } from './stand-in.mjs'

standIn('api')
